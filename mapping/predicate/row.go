package predicate

import "fmt"

// Source gives the columns of one row in PostgreSQL's text format, by their
// ordinal in Table.Columns.
type Source interface {
	Column(i int) (text []byte, null bool)
}

// Row evaluates predicates on one row after another. Each column's key is made
// at most once for a row, however many predicates ask for it. A Row belongs to
// one goroutine; it keeps its memory between rows.
type Row struct {
	columns []Column
	src     Source
	cells   []cell
	version uint64 // of the row; cells of another version are stale
}

// cell holds what is known of one column of the current row.
type cell struct {
	keyVersion  uint64
	elemVersion uint64
	null        bool
	head        Head   // of key
	key         []byte // aliases the source or scratch
	scratch     []byte
	elems       [][]byte // keys of an array's elements, without its NULLs
	elemScratch []byte
	keyErr      error
	elemErr     error
}

// NewRow makes a Row for a table's columns.
func NewRow(columns []Column) *Row {
	return &Row{columns: columns, cells: make([]cell, len(columns))}
}

// Reset turns to another row. src is read until the following Reset.
func (r *Row) Reset(src Source) {
	r.src = src
	r.version++
}

// Key gives the key of a column of the current row, valid until Reset.
func (r *Row) Key(column int) (key []byte, null bool, err error) {
	c := &r.cells[column]
	if c.keyVersion != r.version {
		r.fill(column, c)
	}
	return c.key, c.null, c.keyErr
}

func (r *Row) fill(column int, c *cell) {
	c.keyVersion = r.version
	text, null := r.src.Column(column)
	c.key, c.null, c.keyErr = nil, null, nil
	if null {
		return
	}
	var err error
	if c.key, c.scratch, err = r.columns[column].Type.Key(c.scratch, text); err != nil {
		c.keyErr = fmt.Errorf("column %q: %w", r.columns[column].Name, err)
		return
	}
	c.head = HeadOf(c.key)
}

// head is Key for the key's head.
func (r *Row) head(column int) (head Head, null bool, err error) {
	c := &r.cells[column]
	if c.keyVersion != r.version {
		r.fill(column, c)
	}
	return c.head, c.null, c.keyErr
}

// Elements gives the keys of the elements, NULLs left out, of an array column
// of the current row, valid until Reset.
func (r *Row) Elements(column int) (keys [][]byte, null bool, err error) {
	c := &r.cells[column]
	if c.elemVersion == r.version {
		return c.elems, c.null, c.elemErr
	}
	text, null := r.src.Column(column)
	c.elemVersion = r.version
	c.elems, c.elemScratch, c.null, c.elemErr = c.elems[:0], c.elemScratch[:0], null, nil
	if null {
		return nil, true, nil
	}
	c.elems, c.elemScratch, err = r.columns[column].Type.AppendElementKeys(c.elems, c.elemScratch, text)
	if err != nil {
		c.elemErr = fmt.Errorf("column %q: %w", r.columns[column].Name, err)
	}
	return c.elems, false, c.elemErr
}
