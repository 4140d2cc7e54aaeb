// @ts-check
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasCommand, pathOf } from '../machine.mjs'
import { accepts, freePort, ready, SERVER_CORE, start } from '../processes.mjs'

const MODULES = ['/usr/lib/nginx/modules', '/usr/lib64/nginx/modules', '/usr/local/nginx/modules']

/**
 * nchan as Debian builds it, with one worker, in its fastest configuration: a subscriber follows one channel, nothing is logged,
 * and messages are kept in shared memory.
 * @type {import('./peers.mjs').Peer}
 */
export const nchan = {
  name: 'nchan',
  protocol: 'nchan',
  adapter: 'memory',
  abilities: ['resume', 'rooms'],
  unavailable() {
    if (!hasCommand('nginx')) return 'nginx is not installed (apt-get install nginx-light libnginx-mod-nchan)'
    if (modulePath() === undefined) return 'nginx has no nchan module (apt-get install libnginx-mod-nchan)'
    return undefined
  },
  async start({ folder }) {
    const port = await freePort()
    const configuration = join(folder, `nchan-${port}.conf`)
    writeFileSync(configuration, configure({ port, folder }))
    const running = start({
      name: 'nchan',
      command: pathOf('nginx') ?? 'nginx',
      args: ['-c', configuration, '-p', folder, '-e', join(folder, 'nchan-error.log')],
      core: SERVER_CORE,
      folder,
    })
    await ready(running, () => accepts(port))
    return { ports: [port], processes: [running], helpers: [], stop: () => running.stop() }
  },
}

function modulePath() {
  return MODULES.map(folder => join(folder, 'ngx_nchan_module.so')).find(path => existsSync(path))
}

/** @param {{ port: number, folder: string }} where */
function configure({ port, folder }) {
  return `
load_module ${modulePath()};
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
${process.getuid?.() === 0 ? 'user root;' : ''}
pid ${folder}/nchan-${port}.pid;
events { worker_connections 19000; use epoll; }
http {
  access_log off;
  client_body_temp_path ${folder}/nchan-body;
  proxy_temp_path ${folder}/nchan-proxy;
  fastcgi_temp_path ${folder}/nchan-fastcgi;
  uwsgi_temp_path ${folder}/nchan-uwsgi;
  scgi_temp_path ${folder}/nchan-scgi;
  keepalive_requests 100000000;
  keepalive_timeout 1h;
  tcp_nodelay on;
  nchan_shared_memory_size 2048M;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /sub {
      nchan_subscriber eventsource;
      nchan_channel_id $arg_room;
      nchan_subscriber_first_message newest;
      nchan_eventsource_ping_interval 25;
    }
    location = /pub {
      nchan_publisher;
      nchan_channel_id $arg_to;
      nchan_message_buffer_length 512;
      nchan_message_timeout 1h;
    }
  }
}
`
}
