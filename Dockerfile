# Any Node of version 24 or newer; an older one does not know the option in CMD that sizes the heap to the container.
ARG BASE=node:24-slim

FROM ${BASE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# pino-pretty is optional: a container's log is read by machines.
RUN npm ci --ignore-scripts --omit=dev --omit=optional

# Fetches the compiler and nothing else: an image needs no test tools. Types are checked by .ci/run.
FROM dependencies AS build
COPY tsconfig.json ./
COPY scripts/build.mjs scripts/set-up.mjs scripts/assets.mjs scripts/tsconfig.run.json scripts/
COPY src src
COPY plugins plugins
RUN node scripts/build.mjs --to-run

FROM ${BASE} AS init
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends tini && rm -rf /var/lib/apt/lists/*

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Tidings" \
      org.opencontainers.image.description="A Server-Sent Events gateway with exact resume and many replicas over Redis" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
WORKDIR /app
# Owned by root and run as somebody else: what is compromised cannot change the program.
COPY --chown=0:0 --chmod=0644 package.json LICENSE ./
COPY --chown=0:0 --chmod=0644 scripts/healthcheck.mjs scripts/healthcheck.mjs
COPY --chown=0:0 --from=init /usr/bin/tini-static /usr/bin/tini
COPY --chown=0:0 --from=dependencies /app/node_modules node_modules
COPY --chown=0:0 --from=build /app/dist/src dist/src
COPY --chown=0:0 --from=build /app/dist/plugins dist/plugins
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000
EXPOSE 3000
# A number, so that Kubernetes can tell that it is not root.
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["node", "scripts/healthcheck.mjs"]
# The kernel drops signals for a first process that does not handle them yet, which Node does not for its first 100 ms:
# with an init as the first process a SIGTERM ends it at any time.
ENTRYPOINT ["/usr/bin/tini", "--"]
# Queues of slow readers live outside the heap: the heap gets 60 % of the container's memory, they and the rest 40 %.
CMD ["node", "--max-old-space-size-percentage=60", "dist/src/server.js"]
