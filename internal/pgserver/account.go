package pgserver

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// account is the operating system's user that PostgreSQL runs as. The zero
// value is this process's own user.
type account struct {
	name     string
	uid, gid int
}

func (a account) other() bool { return a.name != "" }

// chooseAccount gives this process's own user, or for root one that
// PostgreSQL accepts.
func chooseAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return account{}, fmt.Errorf("read the user id of %s: %w", name, err)
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return account{}, fmt.Errorf("read the group id of %s: %w", name, err)
		}
		return account{name: name, uid: uid, gid: gid}, nil
	}
	return account{}, fmt.Errorf("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as")
}

// own gives path, and all in it, to the account.
func (a account) own(path string) error {
	if !a.other() {
		return nil
	}
	return filepath.WalkDir(path, func(p string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, a.uid, a.gid)
	})
}

// reach checks that the account can enter every directory above path, which
// for another account's home directory it usually can't.
func (a account) reach(path string) error {
	if !a.other() {
		return nil
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o001 == 0 && !ownedBy(info, a.uid) {
			return fmt.Errorf("user %s, whom PostgreSQL runs as because it refuses root, may not enter %s:"+
				" choose a directory elsewhere", a.name, dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// tempParent is where the account may have a temporary directory that it can
// remove itself: os.TempDir, unless that is for another user only.
func (a account) tempParent() string {
	dir := os.TempDir()
	if !a.other() {
		return dir
	}
	info, err := os.Stat(dir)
	if err == nil && info.Mode().Perm()&0o003 == 0o003 && a.reach(filepath.Join(dir, "x")) == nil {
		return dir
	}
	return "/tmp"
}
