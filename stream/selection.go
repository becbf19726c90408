package stream

import (
	"fmt"
	"strconv"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping/predicate"
)

// selection is the view's query as SQL, and what collects its rows.
func (v *view) selection(company string, limit int) (q cdc.Select, collect func() map[string]encoding) {
	s := v.table.shape
	q.Table = s.catalog.TableName
	scope, err := s.mapping.CompanyNode(company)
	if err != nil {
		// The token's company can't be a value of the column: nothing is its.
		scope = predicate.Never()
	}
	index := make([]int, len(s.columns))
	for i := range index {
		index[i] = -1
	}
	sql := []byte("SELECT ")
	for i := range v.mask.columns {
		c := &v.mask.columns[i]
		if i > 0 {
			sql = append(sql, ", "...)
		}
		sql = append(sql, predicate.QuoteIdentifier(c.Name)...)
		index[c.ordinal] = i
		q.Types = append(q.Types, c.Type.Base)
	}
	sql = append(sql, " FROM "+q.Table.String()+" WHERE "...)
	sql, args := predicate.All(scope, v.predicate).AppendSQL(sql, nil, s.columns)
	for _, a := range args {
		q.Args = append(q.Args, a.(string))
	}
	q.SQL = string(sql) + " LIMIT " + strconv.Itoa(limit+1)

	rows := make(map[string]encoding)
	from := &values{index: index}
	var key, buf []byte
	q.Row = func(row [][]byte) error {
		if len(rows) == limit {
			return errorf(CodeResourceExhausted, "the query has more than %d rows (limits.rows): narrow its filter", limit)
		}
		from.row = row
		var err error
		if key, err = s.appendKey(key[:0], from); err != nil {
			return fmt.Errorf("read key: %w", err)
		}
		var keyEnd int
		if buf, keyEnd, err = v.mask.append(buf[:0], from); err != nil {
			return err
		}
		rows[string(key)] = encoding{json: append(make([]byte, 0, len(buf)), buf...), key: keyEnd}
		return nil
	}
	return q, func() map[string]encoding { return rows }
}
