// What Redis did with a command. Each family that uses Redis says in its own words what that means for its callers, so these two
// never leave src/.

/** The command did not run: there is no connection, or the server refused it. */
export class RedisUnavailable extends Error {}

/** The command may have run: the connection broke, or no answer came in time. */
export class RedisUncertain extends Error {}
