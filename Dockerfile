# syntax=docker/dockerfile:1
# The one image of ResQueue: worker, controller and command line. Bring jobs with `FROM resqueue` and COPY, or mount them.
ARG NODE_IMAGE=node:26-trixie-slim

FROM ${NODE_IMAGE} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
COPY native ./native
COPY scripts/build-addon.mjs scripts/bundle-spawned.mjs ./scripts/
RUN node node_modules/typescript/bin/tsc -p tsconfig.build.json \
 && node scripts/bundle-spawned.mjs \
 && chmod +x dist/bin.js \
 && node scripts/build-addon.mjs \
 && test -s build/Release/resqueue_fork.node \
 && npm prune --omit=dev --ignore-scripts --no-audit --no-fund \
 && find node_modules -type f \( -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.map' \) -delete

FROM ${NODE_IMAGE} AS runtime
RUN apt-get update \
 && apt-get install -y --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/* \
           /usr/local/lib/node_modules /usr/local/include /opt/yarn* \
           /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn /usr/local/bin/yarnpkg \
 && ln -s /opt/resqueue/dist/bin.js /usr/local/bin/resqueue
ENV NODE_ENV=production
WORKDIR /opt/resqueue
COPY LICENSE package.json ./
COPY lua ./lua
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/build/Release/resqueue_fork.node ./build/Release/resqueue_fork.node
COPY --from=build /build/dist ./dist
# Job modules go here: they find `resqueue/job` next door.
WORKDIR /app
RUN mkdir node_modules && ln -s /opt/resqueue node_modules/resqueue
# Nothing is written at run time: the root file system may be read-only.
USER 65532:65532
EXPOSE 9090
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "node", "/opt/resqueue/dist/bin.js"]
CMD ["--help"]
