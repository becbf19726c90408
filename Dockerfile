FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w" -o /walwire ./cmd/walwire

# No shell, no package manager; user 65532.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /walwire /walwire
ENV WALWIRE_LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
	CMD ["/walwire", "health", "--url", "http://127.0.0.1:8080/healthz"]
ENTRYPOINT ["/walwire"]
CMD ["serve", "--config", "/etc/walwire/walwire.yaml"]
