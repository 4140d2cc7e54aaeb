import type { Test } from 'tap'
import type { ReplicaCommand, Replicas } from '../../src/replicas/replicas.js'

/** One replica, which nobody used before. */
export interface TestReplica {
  readonly replicas: Replicas
  /** Connects it, if it has anything to connect. To be called after `listen`. */
  start(): Promise<void>
  /** All trouble that the adapter told of, in order. */
  readonly troubles: readonly unknown[]
}
export type CreateReplica = (t: Test) => Promise<TestReplica>

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

/** As replicas of other versions, or other programs, may send them. */
export const NO_COMMANDS: readonly object[] = [
  {},
  { kind: 5 },
  { kind: '__proto__' },
  { kind: 'of-a-later-version', rooms: ['a'] },
  { kind: 'revoke-user' },
  { kind: 'revoke-user', userId: {}, at: 'soon' },
  { kind: 'revoke-user', userId: '42', at: null },
  { kind: 'replace-ticket', hash: 'h', fence: 1.5 },
  { kind: 'disconnect', connectionId: 7 },
]

/** What all replicas must do, however they talk to each other. */
export function testReplicas(t: Test, create: CreateReplica): void {
  t.test('a replica hears its own commands, each once and whole, and is answered by itself', async t => {
    const { replicas, start } = await create(t)
    const { heard, handler } = listener(command => COMMANDS.findIndex(({ kind }) => kind === command.kind))
    replicas.listen(handler)
    await start()
    for (const [i, command] of COMMANDS.entries()) t.equal(await replicas.ask(command), i)
    t.same(heard, COMMANDS)
  })

  t.test('names arrive as they are: of any script, with quotes and line ends, and halves of characters', async t => {
    const { replicas, start } = await create(t)
    const { heard, handler } = listener()
    replicas.listen(handler)
    await start()
    const names = ['', 'Žofie 🦊', '"a"\\', 'a\r\nb\0', '\ud800', 'x'.repeat(100_000)]
    for (const connectionId of names) await replicas.ask({ kind: 'disconnect', connectionId })
    t.same(
      heard,
      names.map(connectionId => ({ kind: 'disconnect', connectionId })),
    )
  })

  t.test('commands that are asked at the same time are answered each by itself', async t => {
    const { replicas, start } = await create(t)
    const { handler } = listener(command => ('at' in command ? command.at : 0))
    replicas.listen(handler)
    await start()
    const ask = (at: number) => replicas.ask({ kind: 'revoke-user', userId: '42', at })
    t.same(await Promise.all([1, 2, 3, 4, 5].map(ask)), [1, 2, 3, 4, 5])
  })

  t.test('a command that is asked twice is carried out twice', async t => {
    const { replicas, start } = await create(t)
    const { heard, handler } = listener(() => 1)
    replicas.listen(handler)
    await start()
    t.same(await Promise.all([COMMANDS[0]!, COMMANDS[0]!].map(command => replicas.ask(command))), [1, 1])
    t.same(heard, [COMMANDS[0], COMMANDS[0]])
  })

  t.test('asking where nobody listens answers 0', async t => {
    const { replicas, start } = await create(t)
    await start()
    for (const command of COMMANDS) t.equal(await replicas.ask(command), 0)
  })

  t.test(
    'an unknown or malformed command changes nothing and throws nothing, and the next one is answered',
    async t => {
      const { replicas, start, troubles } = await create(t)
      const { heard, handler } = listener(() => 1)
      replicas.listen(handler)
      await start()
      // Safe: that these are no commands is what is tested.
      for (const none of NO_COMMANDS) t.equal(await replicas.ask(none as ReplicaCommand), 0, JSON.stringify(none))
      t.same(heard, [])
      t.equal(await replicas.ask(COMMANDS[0]!), 1)
      t.same(troubles, [])
    },
  )

  t.test('a handler that throws counts for nothing: trouble is told of, and the asker goes on', async t => {
    const { replicas, start, troubles } = await create(t)
    const { heard, handler } = listener(({ kind }) => {
      if (kind === 'disconnect') throw new Error('a broken handler')
      return 1
    })
    replicas.listen(handler)
    await start()
    t.equal(await replicas.ask({ kind: 'disconnect', connectionId: 'c' }), 0)
    t.match(troubles, [{ message: 'a broken handler' }])
    t.equal(troubles.length, 1)
    t.equal(await replicas.ask(COMMANDS[0]!), 1)
    t.equal(heard.length, 2)
  })
}
