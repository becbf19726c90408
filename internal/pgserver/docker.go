package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	dockercontainer "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/postgres"
)

const (
	// dockerImage is the official image.
	dockerImage = "postgres:17-alpine"
	// dockerPort is where PostgreSQL listens within the container.
	dockerPort = "5432/tcp"
	// dockerSharedMemory is for parallel queries: Docker's own 64 MiB are few.
	dockerSharedMemory = 256 << 20
)

// container is a server in a Docker container. It is a backend. Its port is
// fixed on this side, so that it stays over a restart. When this process dies,
// testcontainers' reaper removes the container.
type container struct {
	container *postgres.PostgresContainer
	where     endpoint
}

// startDocker runs the server in a container.
func startDocker(ctx context.Context, opts Options) (*Server, error) {
	if opts.DataDir != "" {
		return nil, errors.New("not used for a data directory that is kept")
	}
	if err := dockerAnswers(ctx); err != nil {
		return nil, err
	}
	var err error
	for range startAttempts {
		where := endpoint{host: "127.0.0.1", port: opts.Port, password: randomPassword()}
		if opts.Port == 0 {
			if where.port, err = freePort(); err != nil {
				return nil, err
			}
		}
		var c *container
		if c, err = runContainer(ctx, opts, where); err == nil {
			return &Server{backend: c}, nil
		}
		if opts.Port != 0 || ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// dockerAnswers checks that there is an engine.
func dockerAnswers(ctx context.Context) error {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return fmt.Errorf("find the engine: %w", err)
	}
	defer func() { _ = provider.Close() }()
	if err := provider.Health(ctx); err != nil {
		return fmt.Errorf("ask the engine: %w", err)
	}
	return nil
}

// runContainer runs one container at the endpoint, or leaves none.
func runContainer(ctx context.Context, opts Options, where endpoint) (*container, error) {
	command := []string{"postgres"}
	for name, value := range opts.settings() {
		command = append(command, "-c", name+"="+value)
	}
	inside, err := network.ParsePort(dockerPort)
	if err != nil {
		return nil, fmt.Errorf("run PostgreSQL in Docker: %w", err)
	}
	binding := network.PortBinding{HostIP: netip.MustParseAddr(where.host), HostPort: strconv.Itoa(where.port)}
	c, err := postgres.Run(ctx, dockerImage,
		postgres.WithUsername(superuser), postgres.WithPassword(where.password), postgres.WithDatabase(database),
		postgres.BasicWaitStrategies(), testcontainers.WithCmd(command...),
		testcontainers.WithHostConfigModifier(func(host *dockercontainer.HostConfig) {
			host.ShmSize = dockerSharedMemory
			host.PortBindings = network.PortMap{inside: {binding}}
		}))
	if err != nil {
		err = fmt.Errorf("run PostgreSQL in Docker: %w", err)
		return nil, errors.Join(err, testcontainers.TerminateContainer(c)) // accepts a nil container
	}
	return &container{container: c, where: where}, nil
}

func (c *container) endpoint() endpoint { return c.where }

// restart stops and starts the container. PostgreSQL's image takes the
// engine's signal for a fast stop; without patience the engine kills it, which
// is what Immediate means here.
func (c *container) restart(ctx context.Context, mode StopMode) error {
	patience := fastPatience
	if mode == Immediate {
		patience = 0
	}
	if err := c.container.Stop(ctx, &patience); err != nil {
		return fmt.Errorf("restart PostgreSQL in Docker: %w", err)
	}
	if err := c.container.Start(ctx); err != nil {
		return fmt.Errorf("restart PostgreSQL in Docker: %w", err)
	}
	return nil
}

func (c *container) stop(ctx context.Context) error {
	if err := c.container.Terminate(ctx); err != nil {
		return fmt.Errorf("remove the container: %w", err)
	}
	return nil
}
