// @ts-check
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { hasCommand } from './machine.mjs'

/**
 * A server under test or a helper of the bench: its name, its pid, and the file its output goes to.
 * @typedef {{ name: string, pid: number, log: string, stop: () => Promise<void> }} Running
 */

/** Clock ticks of /proc/<pid>/stat: USER_HZ is 100 on every Linux that Node runs on. */
const TICK_MS = 10

/** The core of the servers, and the one of the load generator, Redis and every other helper. */
export const SERVER_CORE = 0
export const LOAD_CORE = 1

/**
 * Starts a program, pinned to `core` if the machine has taskset. Its output goes to a file, so that no pipe slows it down.
 * @param {{ name: string, command: string, args: string[], env?: Record<string, string>, core: number, folder: string }} spec
 * @returns {Running}
 */
export function start({ name, command, args, env = {}, core, folder }) {
  const log = join(folder, `${name}-${Date.now()}.log`)
  const output = openSync(log, 'a')
  const [program, programArgs] = pinned(core, command, args)
  const child = spawn(program, programArgs, {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', output, output],
  })
  if (child.pid === undefined) throw new Error(`${name}: '${command}' could not be started`)
  const end = once(child, 'exit')
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  return {
    name,
    pid: child.pid,
    log,
    async stop() {
      process.removeListener('exit', kill)
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGTERM')
      // A gateway would drain for longer than the bench waits.
      const impatience = setTimeout(() => child.kill('SIGKILL'), 2000)
      await end
      clearTimeout(impatience)
    },
  }
}

/**
 * @param {number} core
 * @param {string} command
 * @param {string[]} args
 * @returns {[string, string[]]}
 */
export function pinned(core, command, args) {
  return hasCommand('taskset') ? ['taskset', ['-c', String(core), command, ...args]] : [command, args]
}

/** A port of 127.0.0.1 that was free a moment ago. */
export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {net.AddressInfo} */ (server.address())
  server.close()
  await once(server, 'close')
  return port
}

/**
 * Resolves once `isReady` returns true, which is asked every 20 ms.
 * @param {Running} running
 * @param {() => Promise<boolean>} isReady
 * @param {number} [withinMs]
 */
export async function ready(running, isReady, withinMs = 15_000) {
  const deadline = Date.now() + withinMs
  while (Date.now() < deadline) {
    if (await isReady().catch(() => false)) return
    await delay(20)
  }
  await running.stop()
  throw new Error(`${running.name} was not ready within ${withinMs} ms; it said:\n${tail(running.log)}`)
}

/** @param {number} ms @returns {Promise<void>} */
export const delay = ms => new Promise(resolve => setTimeout(resolve, ms))

/** @param {number} port @returns {Promise<boolean>} */
export function accepts(port) {
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

/**
 * CPU time of a process and its children since they started: all threads, user and system, in microseconds.
 * @param {number} pid
 * @returns {number}
 */
export function cpuMicros(pid) {
  return family(pid).reduce((sum, member) => sum + ownCpuMicros(member), 0)
}

/**
 * Resident memory of a process and its children, in bytes. Shared pages count once for each process.
 * @param {number} pid
 * @returns {number}
 */
export function residentBytes(pid) {
  return family(pid).reduce((sum, member) => sum + ownResidentBytes(member), 0)
}

/** CPU time of all processes since the machine started, with the time that a virtual machine's host took (steal), in microseconds. */
export function machineCpuMicros() {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = readFileSync('/proc/stat', 'latin1')
    .slice('cpu  '.length, 300)
    .split(' ', 9)
    .map(Number)
  return (user + nice + system + irq + softirq + steal) * TICK_MS * 1000
}

/** @param {number} pid */
function ownCpuMicros(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // The second field is the program's name in parentheses, and may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS * 1000
}

/** @param {number} pid */
function ownResidentBytes(pid) {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  return Number(kilobytes?.[1] ?? 0) * 1024
}

/** @param {number} pid @returns {number[]} */
function family(pid) {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim()
  return [pid, ...(children === '' ? [] : children.split(' ').map(Number))]
}

/** @param {string} log */
function tail(log) {
  return readFileSync(log, 'utf8').slice(-2000)
}
