# Lockkeeper's images (BuildKit, which every Docker since 23 uses by itself):
#
#   docker build -t devops-hub-migrate:1.0.0 .                 the example: what a release of DevOps Hub deploys
#   docker build -t lockkeeper:0.1.0 --target tools .          what an application's own image starts FROM
#   docker build -t lockkeeper:0.1.0-minimal --target minimal .   the static binary alone
#
# No health check: a run ends by itself and its exit code is the answer; what follows `lockkeeper --` has its own.

ARG RUST=1.95
# The newest server that is backed up: pg_dump refuses servers newer than itself, older ones are fine. But tools of 17 and
# newer cannot `restore --in-place` on a server older than 17: where the role has no CREATEDB, take that server's version.
ARG POSTGRES=18

FROM rust:${RUST}-slim-trixie AS build
WORKDIR /lockkeeper
# The dependencies first: their layer stays until Cargo.lock changes.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
# The dependencies' sources are named without the directory that they lie in: 19 KB less, and nobody's paths.
RUN mkdir src tests \
    && echo 'fn main() {}' >src/main.rs && touch src/lib.rs tests/static.rs tests/containers.rs \
    && cargo fetch --locked \
    && printf '[target.%s]\nrustflags = ["--remap-path-prefix=%s="]\n' "'cfg(target_env = \"gnu\")'" \
        "$(echo "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/)" >/paths.toml \
    && cargo static --config /paths.toml \
    && cargo static --config /paths.toml --features object-store
COPY src src
# Cargo goes by file times, and the sources may be older than the empty ones.
RUN touch src/main.rs src/lib.rs \
    && cargo static --config /paths.toml \
    && cp target/*/release/lockkeeper /usr/local/bin/
# Where volumes are mounted: a new one takes over owner and mode. Group 0 may write, since a user that is only a number
# (`docker run --user 12345`, OpenShift) has that group.
RUN install -d -m 0775 /rooms/backups /rooms/data && install -d -m 1777 /rooms/tmp

# With object stores: where pg_dump is, its archive may go to a bucket.
FROM build AS build-tools
RUN cargo static --config /paths.toml --features object-store \
    && cp target/*/release/lockkeeper /usr/local/bin/

# The tools and the libraries they load, at the paths where they are found.
FROM postgres:${POSTGRES}-trixie AS client
RUN set -eu; \
    for tool in /usr/lib/postgresql/*/bin/pg_dump /usr/lib/postgresql/*/bin/pg_restore; do \
        echo "$tool"; ldd "$tool" | grep -o '/[^ ]*'; \
    done | sort -u | xargs cp -L --parents -t "$(mktemp -d -p / client.XXXX)"; \
    mv /client.* /client

FROM scratch AS base
LABEL org.opencontainers.image.title="Lockkeeper" \
    org.opencontainers.image.description="Waits for the database, locks, backs up, migrates, verifies, exits" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.source="https://github.com/lockkeeper/lockkeeper"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/lockkeeper"]

FROM base AS minimal
COPY --from=build /usr/local/bin/lockkeeper /usr/local/bin/

FROM base AS tools
COPY --from=build-tools /usr/local/bin/lockkeeper /usr/local/bin/
COPY --from=client /client /
COPY --from=build --chown=65532:0 /rooms /

# No migrations before here: an application's COPY would lie among ours.
FROM tools
LABEL org.opencontainers.image.title="DevOps Hub's migrations"
COPY migrations /migrations
