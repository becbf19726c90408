package stream

import (
	"fmt"
	"strconv"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping/predicate"
)

// selection is the view's query as SQL, and what collects its rows; full says that
// there may be more behind those of a window.
func (v *view) selection(company string, limit int) (q cdc.Select, collect func() (rows []keyedRow, full bool)) {
	s := v.table.shape
	q.Table = s.catalog.TableName
	scope, err := s.mapping.CompanyNode(company)
	if err != nil {
		// The token's company can't be a value of the column: nothing is its.
		scope = predicate.Never()
	}
	sql, index := v.selectList(&q)
	sql = append(sql, " FROM "+q.Table.String()+" WHERE "...)
	sql, args := predicate.All(scope, v.predicate).AppendSQL(sql, nil, s.columns)
	for _, a := range args {
		q.Args = append(q.Args, a.(string))
	}
	most := limit + 1
	if v.window != nil {
		most = v.window.limit + v.window.beyond
		sql = v.order.sql(append(sql, " ORDER BY "...), s.columns)
	}
	q.SQL = string(sql) + " LIMIT " + strconv.Itoa(most)

	rows := make([]keyedRow, 0, 24) // as many as a screen shows
	from := &values{index: index}
	order := v.order.copy()
	var placed *predicate.Row
	if order != nil {
		placed = predicate.NewRow(s.columns)
	}
	var key, buf []byte
	q.Row = func(row [][]byte) error {
		if v.window == nil && len(rows) == limit {
			return errorf(CodeResourceExhausted, "the query has more than %d rows (limits.rows): narrow its filter", limit)
		}
		from.row = row
		var err error
		if key, err = s.appendKey(key[:0], from); err != nil {
			return &rowError{fmt.Errorf("read key: %w", err)}
		}
		var keyEnd int
		if buf, keyEnd, err = v.mask.append(buf[:0], from); err != nil {
			return &rowError{err}
		}
		place := ""
		if order != nil {
			placed.Reset(from)
			if place, err = order.placeOf(placed, uint64(len(rows)+1)); err != nil {
				return &rowError{err}
			}
		}
		rows = append(rows, keyedRow{string(key), loadedRow{encoding{json: append(make([]byte, 0, len(buf)), buf...), key: keyEnd}, place}})
		return nil
	}
	return q, func() ([]keyedRow, bool) { return rows, v.window != nil && len(rows) == most }
}

// rowError is a row that can't be read: the database gave it, and will again.
type rowError struct{ error }

// selectList selects what the mask shows and what the order needs.
func (v *view) selectList(q *cdc.Select) (sql []byte, index []int) {
	s := v.table.shape
	index = make([]int, len(s.columns))
	for i := range index {
		index[i] = -1
	}
	sql = append(sql, "SELECT "...)
	add := func(ordinal int) {
		if index[ordinal] >= 0 {
			return
		}
		if len(q.Types) > 0 {
			sql = append(sql, ", "...)
		}
		sql = append(sql, predicate.QuoteIdentifier(s.columns[ordinal].Name)...)
		index[ordinal] = len(q.Types)
		q.Types = append(q.Types, s.columns[ordinal].Type.Base)
	}
	for i := range v.mask.columns {
		add(v.mask.columns[i].ordinal)
	}
	if v.order != nil {
		for _, t := range v.order.Order {
			add(t.Column)
		}
	}
	return sql, index
}
