import t from 'tap'
import { createKeyring, parseApiKeys } from '../../../src/auth/api-keys.js'

t.test('API keys are read with their patterns, and nothing of them is kept', async t => {
  const { keys, problems } = parseApiKeys(
    'jobs=key-one-0123456789|session:*|user:*, jobs=key-two-0123456789,root=a=b=c-0123456789',
  )
  t.same(problems, [])
  t.same(
    keys.map(({ name, patterns }) => [name, patterns]),
    [
      ['jobs', ['session:*', 'user:*']],
      ['jobs', ['*']],
      ['root', ['*']],
    ],
  )
  t.notMatch(JSON.stringify(keys), /0123456789/)
  const find = createKeyring(keys)
  t.match(find('key-one-0123456789'), { userId: 'jobs', kind: 'server', publish: ['session:*', 'user:*'] })
  t.match(find('a=b=c-0123456789'), { userId: 'root' })
  for (const presented of ['', 'key-one-012345678', 'key-one-01234567890', 'jobs']) t.equal(find(presented), null)
})

t.test('every bad API key is named by its place, and nothing of it is quoted', async t => {
  const { problems } = parseApiKeys(
    'a=short,b,c d=key-one-0123456789,e=key-two-0123456789|a*b,f=key-\u00e9-0123456789,g=key-six-0123456789,h=key-six-0123456789,',
  )
  t.same(problems, [
    'key 1 has 5 characters behind its name but must have at least 16; it is name=key',
    'key 2 must be name=key, the name of A-Z a-z 0-9 _ . : @ / -',
    'key 3 must be name=key, the name of A-Z a-z 0-9 _ . : @ / -',
    'key 4 has a bad pattern behind bar 1: a pattern is a room, or its beginning and one trailing *; a key has no bars',
    'key 5 must be printable ASCII without spaces, commas and bars',
    'key 7 is the same as a key before it',
    'key 8 must be name=key, the name of A-Z a-z 0-9 _ . : @ / -',
  ])
})

t.test('a key that is the wrong way round, or holds a bar, is not quoted as a name or a pattern', async t => {
  for (const text of [
    's3cret-0123456789=jobs',
    'jobs=s3cret-0123|456 789',
    'jobs=a-key-0123456789|session:*|s3cret*0123456789',
    's3cret-0123456789',
    's3cret 0123456789=0123456789abcdef',
  ]) {
    const { problems } = parseApiKeys(text)
    t.equal(problems.length, 1, text)
    t.match(problems[0], /^key 1 /)
    t.notMatch(problems[0], /s3cret|jobs|session|456/)
  }
})
