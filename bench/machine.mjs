// @ts-check
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import os from 'node:os'
import { delimiter, join } from 'node:path'

/** @param {string} name @returns {boolean} */
export function hasCommand(name) {
  return pathOf(name) !== undefined
}

/**
 * The path of a command, also of servers in folders that are not on a user's PATH.
 * @param {string} name
 * @returns {string | undefined}
 */
export function pathOf(name) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/sbin']
  return folders.map(folder => join(folder, name)).find(path => existsSync(path))
}

/** How many files, and so sockets, one process may open: the hard limit, up to which Node raises its own. */
export function fileLimit() {
  const line = /^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'latin1'))
  return line?.[2] === 'unlimited' ? Number.POSITIVE_INFINITY : Number(line?.[2] ?? 0)
}

/** The facts about the machine that a reader needs to judge the figures. */
export function describeMachine() {
  return {
    cpu: `${os.cpus().length} x ${cpuModel()}`,
    memory: `${Math.round(os.totalmem() / 2 ** 30)} GiB`,
    kernel: `${os.type()} ${os.release()}`,
    node: process.version,
    redis: versionOf('redis-server', ['--version'], /v=(\S+)/),
    nginx: versionOf('nginx', ['-v'], /nginx\/(\S+)/),
    nchan: packageVersion('libnginx-mod-nchan'),
    pinning: hasCommand('taskset') ? 'servers on core 0, load generator and Redis on core 1' : 'none (no taskset)',
    openFiles: fileLimit(),
  }
}

function cpuModel() {
  const info = readFileSync('/proc/cpuinfo', 'latin1')
  const name = /^model name\s*:\s*(.+)$/m.exec(info)?.[1] ?? os.cpus()[0]?.model ?? ''
  const vendor = /^vendor_id\s*:\s*(.+)$/m.exec(info)?.[1] ?? process.arch
  const mhz = /^cpu MHz\s*:\s*(\d+)/m.exec(info)?.[1]
  return `${name === '' || name === 'unknown' ? vendor : name}${mhz === undefined ? '' : `, ${mhz} MHz`}`
}

/** @param {string} command @param {string[]} args @param {RegExp} pattern */
function versionOf(command, args, pattern) {
  const path = pathOf(command)
  if (path === undefined) return 'not installed'
  // nginx writes its version to standard error.
  const said = execFileSync('/bin/sh', ['-c', '"$0" "$@" 2>&1', path, ...args], { encoding: 'utf8' })
  return pattern.exec(said)?.[1] ?? 'unknown'
}

/** @param {string} name */
function packageVersion(name) {
  if (!hasCommand('dpkg-query')) return 'unknown'
  try {
    return execFileSync('dpkg-query', ['-W', '-f', `\${Version}`, name], { encoding: 'utf8', stdio: 'pipe' })
  } catch {
    return 'not installed'
  }
}
