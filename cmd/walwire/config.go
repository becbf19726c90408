package main

import (
	"fmt"
	"os"

	"github.com/walwire/walwire/mapping"
)

// The variables of the environment that stand for settings of the file.
const (
	envDatabaseURL          = "WALWIRE_DATABASE_URL"
	envAdminDatabaseURL     = "WALWIRE_ADMIN_DATABASE_URL"
	envSchedulesDatabaseURL = "WALWIRE_SCHEDULES_DATABASE_URL"
	envListen               = "WALWIRE_LISTEN"
	envAdminListen          = "WALWIRE_ADMIN_LISTEN"
	envTokenSecret          = "WALWIRE_TOKEN_SECRET"
)

// configFlags say which configuration to use. Flags win over the environment,
// and that over the file.
type configFlags struct {
	Config      string `help:"Configuration file. walwire.example.yaml is one to start from." required:"" short:"c" placeholder:"FILE" env:"WALWIRE_CONFIG"`
	DatabaseURL string `help:"Database to read, instead of the file's database_url. Use the variable where others see the command line." placeholder:"URL" env:"WALWIRE_DATABASE_URL"`
}

// load reads the file and applies the flags.
func (f configFlags) load() (*mapping.Config, error) {
	cfg, err := mapping.Load(f.Config, overlay(map[string]string{envDatabaseURL: f.DatabaseURL}))
	if err != nil {
		return nil, err
	}
	if f.DatabaseURL != "" {
		cfg.DatabaseURL = mapping.NewSecret(f.DatabaseURL)
	}
	return cfg, nil
}

// overlay is the environment with some variables replaced where they have a value.
func overlay(values map[string]string) mapping.Env {
	return func(name string) (string, bool) {
		if v := values[name]; v != "" {
			return v, true
		}
		return os.LookupEnv(name)
	}
}

// listenOn replaces the configured addresses where others are given.
func listenOn(cfg *mapping.Config, public, admin string) error {
	for _, given := range []struct {
		flag, address string
		setting       *string
	}{{"--listen", public, &cfg.Listen}, {"--admin-listen", admin, &cfg.Admin.Listen}} {
		if given.address == "" {
			continue
		}
		*given.setting = given.address
		if err := cfg.Validate(); err != nil {
			return fmt.Errorf("%s: %w", given.flag, err)
		}
	}
	return nil
}
