package cdc

import (
	"fmt"
	"strings"
)

// Severity says what a finding means for serving.
type Severity string

// The severities. A fatal finding stops the server from starting, or from
// keeping its promises; a warning is a risk that the operator should decide on.
const (
	SeverityFatal   Severity = "fatal"
	SeverityWarning Severity = "warning"
	SeverityInfo    Severity = "info"
	SeverityOK      Severity = "ok"
)

// Finding is one thing that Inspect looked at.
type Finding struct {
	Severity Severity
	Code     string // one of the Code constants: stable, for programs
	Subject  string // what it is about: a setting, a role, a quoted table ...
	Message  string // what is so, and what follows from it; one sentence or two
	// SQL mends it as printed, run by a superuser or the owner of the object:
	// one statement a line. Empty where SQL can't mend it, or where there is
	// nothing to mend.
	SQL  string
	Hint string // what else the operator should know or do, such as a restart
	Err  error  // what PostgreSQL or the network said, where that is all there is
}

// The codes of findings.
const (
	CodeServerVersion      = "server_version"
	CodeStandby            = "standby"
	CodeEncoding           = "encoding"
	CodeWALLevel           = "wal_level"
	CodeSlotsFull          = "replication_slots_full"
	CodeSendersFull        = "wal_senders_full"
	CodeKeepSizeUnbounded  = "wal_keep_size_unbounded"
	CodeSenderTimeoutOff   = "wal_sender_timeout_off"
	CodeIdleSlotTimeout    = "idle_slot_timeout"
	CodeSynchronousStandby = "synchronous_standby"
	CodePooler             = "pooler"
	CodeReplicationConnect = "replication_connection"

	CodeRoleMissing      = "role_missing"
	CodeReplicationRight = "replication_right"
	CodeSuperuser        = "superuser"
	CodeConnectRight     = "connect_right"
	CodeSchemaRight      = "schema_right"
	CodeSelectRight      = "select_right"
	CodeRowSecurity      = "row_security"

	CodeTable           = "table"
	CodeKeyMissing      = "key_missing"
	CodeKeyDeferrable   = "key_deferrable"
	CodeColumnMissing   = "column_missing"
	CodeCompanyColumn   = "company_column_missing"
	CodeReplicaIdentity = "replica_identity"
	CodeIdentityIndex   = "replica_identity_index"
	CodeLargeRows       = "large_rows"
	CodeGenerated       = "generated_columns"

	CodePublication           = "publication"
	CodePublicationLacks      = "publication_lacks_table"
	CodePublicationFilter     = "publication_row_filter"
	CodePublicationColumns    = "publication_column_list"
	CodePublicationOperations = "publication_operations"
	CodePublicationViaRoot    = "publication_via_root"
	CodePublicationAllTables  = "publication_all_tables"
	CodeOtherColumnList       = "other_column_list"

	CodeSlot       = "slot"
	CodeSlotActive = "slot_active"
	CodeSlotLost   = "slot_lost"

	// CodeInspection is a check that could not be made.
	CodeInspection = "inspection_failed"
)

// RefusedError says that nothing was changed, because the findings stand in the
// way: each is fatal and says what mends it.
type RefusedError struct {
	Operation string
	Findings  []Finding
}

func (e *RefusedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s refused:", e.Operation)
	for _, f := range e.Findings {
		fmt.Fprintf(&b, " %s.", strings.TrimSuffix(f.Message, "."))
		if f.SQL != "" {
			fmt.Fprintf(&b, " Mend it with: %s", strings.ReplaceAll(f.SQL, "\n", " "))
		}
		if f.Hint != "" {
			fmt.Fprintf(&b, " %s", f.Hint)
		}
	}
	return b.String()
}

// statements joins SQL statements as Finding.SQL wants them.
func statements(list ...string) string {
	var b strings.Builder
	for i, s := range list {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(strings.TrimSuffix(s, ";"))
		b.WriteByte(';')
	}
	return b.String()
}

// Bearable reports whether a server that has served before goes on all the same: without
// the table that f is about, or at a higher cost. What fails the application's own writes is
// no better for a server that does not run.
func (f Finding) Bearable() bool {
	switch f.Code {
	case CodeTable, CodeColumnMissing, CodeCompanyColumn, CodeKeyMissing, CodeKeyDeferrable, CodeSchemaRight, CodeSelectRight, CodeRowSecurity,
		CodePublicationLacks, CodePublicationFilter, CodePublicationColumns, CodePublicationViaRoot, CodeReplicaIdentity,
		CodeOtherColumnList, CodeGenerated, CodePublicationAllTables:
		return true
	}
	return false
}
