package pgvalue

// Param is a constant that a column of some Type is compared with. Key orders
// and equates like PostgreSQL does under COLLATE "C"; Text is the value in
// PostgreSQL's text format, to be sent as a query parameter and cast to Type.Name.
type Param struct {
	Key  string
	Text string
}
