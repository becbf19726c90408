package main

import (
	"io"

	"github.com/walwire/walwire/mapping"
)

// schemaCmd is `walwire schema`.
type schemaCmd struct{}

// Help explains the command.
func (schemaCmd) Help() string {
	return `Prints a JSON Schema of the configuration's file: with it, an editor completes the keys, explains them, and marks mistakes as they are typed.

  walwire schema > walwire.schema.json

and at the top of the configuration, for editors with yaml-language-server:

  # yaml-language-server: $schema=walwire.schema.json

What only the database can tell, such as a column's name, "walwire check" finds.`
}

// Run prints it.
func (schemaCmd) Run(c *console) error {
	_, err := io.WriteString(c.out, mapping.JSONSchema())
	return err
}
