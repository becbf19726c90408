package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/walwire/walwire/migrations"
)

// migrateCmd is `walwire migrate`.
type migrateCmd struct {
	DatabaseURL  string `help:"Database to migrate, as a role that may create tables and a publication." required:"" placeholder:"URL" env:"WALWIRE_ADMIN_DATABASE_URL,WALWIRE_DATABASE_URL"`
	Role         string `help:"Also create this role for the server, or bring it up to date, its password too. Needs a superuser, or since PostgreSQL 16 the database's owner with CREATEROLE and REPLICATION." placeholder:"NAME" env:"WALWIRE_ROLE"`
	RolePassword string `help:"Password of that role. Use the variable: others can see the command line." placeholder:"PASSWORD" env:"WALWIRE_ROLE_PASSWORD"`
}

// Help explains the command.
func (migrateCmd) Help() string {
	return `Creates the reference schema (companies, branches, staff, clients, appointments, notifications) with its indexes, replica identities and publication, or brings it up to date. Running it again does nothing. It refuses a database that has tables of these names which it did not make: your own tables need no migration, only a configuration.

With --role it also makes the role that "walwire serve" runs as: LOGIN, REPLICATION and SELECT on the mapped tables, nothing else.

  export WALWIRE_ADMIN_DATABASE_URL=postgres://postgres:...@127.0.0.1/app
  export WALWIRE_ROLE_PASSWORD=...
  walwire migrate --role walwire`
}

// Run migrates.
func (m *migrateCmd) Run(ctx context.Context, c *console) error {
	if m.Role != "" && m.RolePassword == "" {
		return errors.New("--role needs a password: set WALWIRE_ROLE_PASSWORD")
	}
	if err := migrations.Up(ctx, m.DatabaseURL, c.log); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c.out, "the reference schema is in place"); err != nil {
		return err
	}
	if m.Role == "" {
		return nil
	}
	if err := migrations.Role(ctx, m.DatabaseURL, m.Role, m.RolePassword, migrations.MappedTables()); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.out, "role %s may log in, replicate and read the mapped tables; its password is the one given now\n", m.Role)
	return err
}
