import type { Test } from 'tap'
import type { ReplicaCommand, Replicas } from '../../src/replicas/replicas.js'

/** Makes replicas that nobody listens to yet. What its `start` connects must be called after `listen`. */
export type CreateReplicas = (t: Test) => Promise<{ replicas: Replicas; start: () => Promise<void> }>

/** A handler that notes what it heard, and answers how many streams each command was about. */
export function listener(answer: (command: ReplicaCommand) => number = () => 0) {
  const heard: ReplicaCommand[] = []
  const state = { heard, missed: 0, cutOff: 0 }
  const handler = {
    onCommand: (command: ReplicaCommand) => {
      heard.push(command)
      return answer(command)
    },
    onMissed: () => void state.missed++,
    onCutOff: () => void state.cutOff++,
  }
  return { heard, state, handler }
}

/** Every command that there is. */
export const COMMANDS: readonly ReplicaCommand[] = [
  { kind: 'revoke-user', userId: '42', at: 1_700_000_000_000 },
  { kind: 'revoke-ticket', hash: 'h' },
  { kind: 'replace-ticket', hash: 'h', fence: 2 },
  { kind: 'probe-ticket', hash: 'h' },
  { kind: 'disconnect', connectionId: 'c' },
  { kind: 'look-up-revocations' },
]

/** What all replicas must do, however they talk to each other. */
export function testReplicas(t: Test, create: CreateReplicas): void {
  t.test('a replica hears its own commands, each once and whole, and is answered by itself', async t => {
    const { replicas, start } = await create(t)
    const { heard, handler } = listener(command => COMMANDS.findIndex(({ kind }) => kind === command.kind))
    replicas.listen(handler)
    await start()
    for (const [i, command] of COMMANDS.entries()) t.equal(await replicas.ask(command), i)
    t.same(heard, COMMANDS)
  })

  t.test('commands that are asked at the same time are answered each by itself', async t => {
    const { replicas, start } = await create(t)
    const { handler } = listener(command => ('at' in command ? command.at : 0))
    replicas.listen(handler)
    await start()
    const ask = (at: number) => replicas.ask({ kind: 'revoke-user', userId: '42', at })
    t.same(await Promise.all([1, 2, 3, 4, 5].map(ask)), [1, 2, 3, 4, 5])
  })
}
