package mapping

import _ "embed"

//go:embed config.schema.json
var jsonSchema string

// JSONSchema is a JSON Schema (draft 2020-12) of the configuration's file, for editors.
// What only the database or the whole of the file can tell is left to Load and Compile.
func JSONSchema() string { return jsonSchema }
