// Package walwire is the server, for programs that serve live queries beside routes of
// their own: New makes one from a configuration, Handler is mounted where clients shall
// find it, and Run follows the database until its context ends.
//
// It also holds the reference configuration, walwire.example.yaml, so that `walwire dev`
// runs on exactly the file that people read and copy. The program is cmd/walwire, and
// docs/architecture.md says how its packages fit together.
package walwire

import _ "embed"

// ExampleConfigName is the name of the reference configuration's file.
const ExampleConfigName = "walwire.example.yaml"

//go:embed walwire.example.yaml
var exampleConfig string

// ExampleConfig is the text of the reference configuration.
func ExampleConfig() string { return exampleConfig }
