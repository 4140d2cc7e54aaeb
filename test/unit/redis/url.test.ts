import t from 'tap'
import { describeRedis, parseRedisUrl } from '../../../src/redis/url.js'

const NOTHING = { username: undefined, password: undefined, name: undefined, db: 0, sentinelPassword: undefined }

t.test('every kind of URL names its hosts, and ports have defaults', async t => {
  t.same(parseRedisUrl('redis://localhost'), {
    ...NOTHING,
    kind: 'single',
    tls: false,
    hosts: [{ host: 'localhost', port: 6379 }],
  })
  t.match(parseRedisUrl('rediss://cache.example:6380/3'), {
    kind: 'single',
    tls: true,
    hosts: [{ host: 'cache.example', port: 6380 }],
    db: 3,
  })
  t.match(parseRedisUrl('redis+sentinel://a,b:7000/main/2'), {
    kind: 'sentinel',
    tls: false,
    hosts: [
      { host: 'a', port: 26379 },
      { host: 'b', port: 7000 },
    ],
    name: 'main',
    db: 2,
  })
  t.match(parseRedisUrl('rediss+cluster://a:1,b:2'), {
    kind: 'cluster',
    tls: true,
    hosts: [
      { host: 'a', port: 1 },
      { host: 'b', port: 2 },
    ],
  })
  t.match(parseRedisUrl('redis://[::1]:7000'), { hosts: [{ host: '::1', port: 7000 }] })
  t.match(parseRedisUrl('redis://10.0.0.7/'), { hosts: [{ host: '10.0.0.7', port: 6379 }], db: 0 })
})

t.test('user and password are percent-decoded, whatever is in them', async t => {
  for (const password of ['p@ss', 'a:b', 'a/b?c#d', '100%', 'ü, ,é', '+&=', '\'"\\', 'x'.repeat(128)]) {
    const encoded = encodeURIComponent(password)
    t.match(parseRedisUrl(`redis://:${encoded}@h`), { username: undefined, password }, password)
    t.match(parseRedisUrl(`redis://me:${encoded}@h:1/2`), { username: 'me', password, hosts: [{ host: 'h' }], db: 2 })
    t.match(parseRedisUrl(`redis+sentinel://me:${encoded}@h,i/n?sentinelPassword=${encoded}`), {
      username: 'me',
      password,
      sentinelPassword: password,
      name: 'n',
    })
  }
  t.match(parseRedisUrl('redis://me@h'), { username: 'me', password: undefined })
  t.match(parseRedisUrl('redis://a:b:c@h'), { username: 'a', password: 'b:c' })
})

t.test('what is said of an address holds no credential', async t => {
  const secret = 's3cr%40et'
  const said: [url: string, description: string][] = [
    [`redis://me:${secret}@h`, 'redis://h:6379'],
    [`rediss://:${secret}@h:1/4`, 'rediss://h:1'],
    [`redis+sentinel://me:${secret}@h,i:2/main?sentinelPassword=${secret}`, 'redis+sentinel://h:26379,i:2/main'],
    [`rediss+cluster://me:${secret}@h,i:2`, 'rediss+cluster://h:6379,i:2'],
  ]
  for (const [url, description] of said) t.equal(describeRedis(parseRedisUrl(url)), description)
})

t.test('a URL that is none is refused by what is wrong with it, and never quoted with its password', async t => {
  const refused: [url: string, says: RegExp][] = [
    ['http://u:s3cret@h', /must be redis:\/\/host:port/],
    ['redis:/u:s3cret@h', /must be redis:\/\/host:port/],
    ['redis://u:s3cret@', /must be host or host:port/],
    ['redis://u:s3cret@h:99999', /port 99999 must be 1-65535/],
    ['redis://u:s3cret@h:0', /port 0 must be 1-65535/],
    ['redis://u:s3cret@h/x', /database must be a number/],
    ['redis://u:s3cret@a,b', /several hosts need redis\+sentinel/],
    ['redis+sentinel://u:s3cret@a,b', /must end with the primary's name/],
    ['redis+cluster://u:s3cret@a/1', /no database but 0/],
    ['redis://u:%zz-s3cret@h', /must be percent-encoded/],
    // An unencoded character cuts the URL in the wrong place: the rest of the password must not be quoted as a host.
    ['redis://u:more@s3cret@h', /must be percent-encoded/],
    ['redis://u:a/s3cret@h', /must be percent-encoded/],
    ['redis://u:s3cret/a@h', /must be percent-encoded/],
    ['redis://u:s3cret?a@h', /must be percent-encoded/],
    ['redis://u:#s3cret/x@h', /must be percent-encoded/],
    // No host at all.
    ['redis://:s3cret', /host 1 must be host or host:port/],
    ['redis://u:s3cret', /host 1 must be host or host:port/],
  ]
  for (const [url, says] of refused) {
    try {
      t.fail(`${url} is taken for ${describeRedis(parseRedisUrl(url))}`)
    } catch (error) {
      t.ok(error instanceof TypeError, url)
      t.match((error as Error).message, says, url)
      t.notMatch((error as Error).message, /s3cret/, `${url}: not quoted`)
    }
  }
})
