package pgoutput_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/walwire/walwire/cdc/pgoutput"
	"github.com/walwire/walwire/internal/pgtest"
)

const (
	publication = "pgoutput_test"
	endPrefix   = "pgoutput_test.end" // of the logical message in the last transaction
)

// formats are the settings that values are printed under, in the stream as in a
// SELECT.
var formats = map[string]string{
	"DateStyle": "ISO, YMD", "IntervalStyle": "postgres", "TimeZone": "UTC",
	"extra_float_digits": "3", "bytea_output": "hex",
}

// record runs script against a database of its own and returns the messages
// that pgoutput sends of it, and the connection for a look at the outcome.
func record(t *testing.T, schema, script []string) ([][]byte, *pgx.Conn) {
	t.Helper()
	url := pgtest.Database(t)
	conn := pgtest.MustConnect(t, url)
	for name, value := range formats {
		pgtest.MustExec(t, conn, "SELECT set_config($1, $2, false)", name, value)
	}
	for _, sql := range schema {
		pgtest.MustExec(t, conn, sql)
	}
	ctx := t.Context()
	stream := mustConnectReplication(t, url)
	slot := pgtest.Unique("slot")
	_, err := pglogrepl.CreateReplicationSlot(ctx, stream, slot, "pgoutput",
		pglogrepl.CreateReplicationSlotOptions{Temporary: true, SnapshotAction: "NOEXPORT_SNAPSHOT"})
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range script {
		pgtest.MustExec(t, conn, sql)
	}
	pgtest.MustExec(t, conn, "SELECT pg_logical_emit_message(true, $1, 'end')", endPrefix)
	err = pglogrepl.StartReplication(ctx, stream, slot, 0, pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '1'", "publication_names '" + publication + "'", "messages 'true'"},
	})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := receive(ctx, stream)
	if err != nil {
		t.Fatal(err)
	}
	return messages, conn
}

func mustConnectReplication(t *testing.T, url string) *pgconn.PgConn {
	t.Helper()
	config, err := pgconn.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range formats {
		config.RuntimeParams[name] = value
	}
	config.RuntimeParams["replication"] = "database"
	conn, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// receive returns the messages up to the commit that follows endPrefix.
func receive(ctx context.Context, conn *pgconn.PgConn) ([][]byte, error) {
	var messages [][]byte
	for ended := false; ; {
		message, err := conn.ReceiveMessage(ctx)
		if err != nil {
			return nil, fmt.Errorf("receive: %w", err)
		}
		data, ok := message.(*pgproto3.CopyData)
		if !ok {
			return nil, fmt.Errorf("receive: unexpected %T", message)
		}
		if data.Data[0] != pglogrepl.XLogDataByteID {
			continue
		}
		wal, err := pglogrepl.ParseXLogData(data.Data[1:])
		if err != nil {
			return nil, err
		}
		src := append([]byte(nil), wal.WALData...)
		messages = append(messages, src)
		var d pgoutput.Decoder
		switch kind, err := d.Decode(src); {
		case err != nil:
			return nil, err
		case kind == pgoutput.TypeMessage && d.Message.Prefix == endPrefix:
			ended = true
		case kind == pgoutput.TypeCommit && ended:
			return messages, nil
		}
	}
}

// writeRecording writes messages to a file, each after its length as four octets,
// the most significant first.
func writeRecording(path string, messages [][]byte) error {
	var file []byte
	for _, m := range messages {
		file = binary.BigEndian.AppendUint32(file, uint32(len(m)))
		file = append(file, m...)
	}
	return os.WriteFile(path, file, 0o644)
}

func readRecording(path string) ([][]byte, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var messages [][]byte
	for len(file) > 0 {
		if len(file) < 4 || uint64(binary.BigEndian.Uint32(file)) > uint64(len(file)-4) {
			return nil, errors.New("read recording: it ends inside a message")
		}
		end := 4 + int(binary.BigEndian.Uint32(file))
		messages = append(messages, file[4:end])
		file = file[end:]
	}
	return messages, nil
}
