// Whether a failed command may have run. Each family that uses Redis translates these two errors into its own, so they never leave src/.

/** The command did not run: there is no connection, or the server refused it. */
export class RedisUnavailable extends Error {}

/** The command may have run: the connection broke, or no answer came in time. */
export class RedisUncertain extends Error {}
