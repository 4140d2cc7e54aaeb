import type { Test } from 'tap'
import type { Bus } from '../../src/bus/bus.js'
import type { Cursor } from '../../src/cursor.js'
import { type AttachRequest, Gateway, type GatewayOptions } from '../../src/gateway.js'
import { Output } from './output.js'
import { ScriptedBus } from './scripted-bus.js'

/** A cursor of the epoch that a `ScriptedBus` begins with. */
export const at = (seq: number, epoch = 'k'): Cursor => ({ epoch, seq })
/** A reader of `room` that comes for the first time. */
export const REQUEST = { userId: '1', rooms: ['room'], envelope: false, after: null }
const silent = { debug() {}, info() {}, warn() {}, error() {} }

/** A gateway without HTTP, on a bus that the test plays unless it gives another one; closed with the test. */
export async function startBareGateway<B extends Bus = ScriptedBus>(
  t: Test,
  options: Partial<GatewayOptions> = {},
  // Safe: the default is a ScriptedBus.
  bus: B = new ScriptedBus() as Bus as B,
) {
  const gateway = new Gateway({
    bus,
    log: silent,
    heartbeatMs: 25_000,
    connectionMaxAgeMs: 0,
    maxConnections: 200,
    maxConnectionsPerUser: 200,
    maxEventBytes: 65_536,
    queueLimitBytes: 1_048_576,
    ...options,
  })
  await gateway.start()
  t.teardown(() => gateway.close())
  const open = ({ isStalled = false, ...request }: Partial<AttachRequest> & { isStalled?: boolean } = {}) => {
    const output = new Output()
    if (isStalled) output.stall()
    const connection = gateway.attach({ ...REQUEST, output, ...request })
    return { output, connection }
  }
  return { gateway, bus, open }
}

/** Lets everything run that the last step has started. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise(resolve => setImmediate(resolve))
}
