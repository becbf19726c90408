package torture

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"time"
)

// membersTable says of each user, by their login, whether they have access, and whether
// they see all rows of their company.
const membersTable = "members"

// grant is what a user may from a commit on.
type grant struct {
	from         uint64
	active, wide bool
}

func membersSQL(users []*user) string {
	sql := "CREATE TABLE " + membersTable + " (login text PRIMARY KEY, company int NOT NULL, active boolean NOT NULL DEFAULT true, wide boolean NOT NULL DEFAULT false);\n" +
		"ALTER TABLE " + membersTable + " REPLICA IDENTITY FULL;\n"
	for _, u := range users {
		sql += fmt.Sprintf("INSERT INTO %s VALUES (%s, %d);\n", membersTable, quote(u.id), u.company)
	}
	return sql
}

// grantAt is what the user of that index might at a position.
func (v *versions) grantAt(index int, position uint64) grant {
	v.mu.RLock()
	defer v.mu.RUnlock()
	of := v.grants[index]
	i := sort.Search(len(of), func(i int) bool { return of[i].from > position })
	if i == 0 {
		return grant{active: true}
	}
	return of[i-1]
}

// member applies the marker of a change of rights. v.mu is held.
func (v *versions) member(end uint64, words []string) error {
	index, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	v.grants[index] = append(v.grants[index], grant{from: end, active: words[2] == "true", wide: words[3] == "true"})
	return nil
}

func (n *nemesis) member(ctx context.Context, u *user, active, wide bool) error {
	n.run.chronicle.note(u.id)
	defer n.run.chronicle.note(u.id)
	return n.stage.exec(ctx, fmt.Sprintf("BEGIN; UPDATE %s SET active = %t, wide = %t WHERE login = %s; ", membersTable, active, wide, quote(u.id))+
		markerSQL("member %d %t %t", u.index, active, wide)+"COMMIT")
}

// revoke takes the access of some users away for a while.
func (n *nemesis) revoke(ctx context.Context) error { return n.grant(ctx, false, false) }

// widen lets some users see all rows of their company for a while.
func (n *nemesis) widen(ctx context.Context) error { return n.grant(ctx, true, true) }

func (n *nemesis) grant(ctx context.Context, active, wide bool) error {
	some := n.r.Perm(len(n.run.users))[:1+n.r.IntN(4)]
	for _, i := range some {
		if err := n.member(ctx, n.run.users[i], active, wide); err != nil {
			return err
		}
	}
	pause(ctx, n.some(3*time.Second))
	for _, i := range some {
		if err := n.member(ctx, n.run.users[i], true, false); err != nil {
			return err
		}
	}
	return nil
}
