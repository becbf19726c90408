package demo

import (
	"fmt"

	"github.com/google/uuid"
)

// id is the id of the n-th thing of a kind in a company: the same in every
// database.
func id(company, kind string, n int) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "https://walwire.dev/demo/%s/%s/%d", company, kind, n)).String()
}
