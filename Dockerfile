# Two stages: build the one binary, then run it as nobody in particular.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential pkg-config && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock clippy.toml ./
COPY src src
COPY templates templates
COPY static static
COPY migrations migrations
COPY library library
COPY benches benches
RUN cargo build --release --locked --bin hub

FROM debian:bookworm-slim
# oneDNN's package is named by its version: libdnnl2, libdnnl3, libdnnl3.6. ffmpeg decodes films.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl ffmpeg '^libdnnl[0-9.]+$' && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data hub && install -d -o hub -g hub -m 0700 /data
COPY --from=build /src/target/release/hub /usr/local/bin/hub
USER hub
# Until it is told its name (HUB_PUBLIC_URL, HUB_TRUSTED_HOSTS), it answers on the machine it runs on: http://localhost:8080.
ENV HUB_DATA=/data HUB_LISTEN=0.0.0.0:8080 HUB_TRUSTED_HOSTS=localhost
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD curl -fsS http://127.0.0.1:8080/readyz || exit 1
ENTRYPOINT ["hub"]
CMD ["serve"]
