import { spawn, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

// The kernel buffers up to 10 MB for a stalled reader before anything waits in the gateway: too much for thousands of readers. So
// the test runs attack.ts in a network namespace with small socket buffers, and prints its output.

const ATTACK = fileURLToPath(new URL('attack.js', import.meta.url))
const PREPARE =
  'ip link set lo up && sysctl -qw net.ipv4.tcp_wmem="4096 16384 65536" net.ipv4.tcp_rmem="4096 16384 65536"'
const UNSHARE = ['--net', 'sh', '-c']

const mayUnshare = spawnSync('unshare', [...UNSHARE, PREPARE], { stdio: 'ignore' }).status === 0
const [command, args] = mayUnshare
  ? ['unshare', [...UNSHARE, `${PREPARE} && exec "$0" "$1"`, process.execPath, ATTACK]]
  : [process.execPath, [ATTACK]]
const stalled = mayUnshare ? '2000' : '100'
const child = spawn(command, args, { stdio: 'inherit', env: { ...process.env, STALLED_READERS: stalled } })
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => child.kill(signal))
child.once('close', code => {
  process.exitCode = code ?? 1
})
