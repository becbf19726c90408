// Package walwire is the root of the module. It holds the reference
// configuration, walwire.example.yaml, so that `walwire dev` runs on exactly the
// file that people read and copy. The program is cmd/walwire, and
// docs/architecture.md says how its packages fit together.
package walwire

import _ "embed"

// ExampleConfigName is the name of the reference configuration's file.
const ExampleConfigName = "walwire.example.yaml"

//go:embed walwire.example.yaml
var exampleConfig string

// ExampleConfig is the text of the reference configuration.
func ExampleConfig() string { return exampleConfig }
