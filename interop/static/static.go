// Package static lays a repository that is signed on demand out as the files that a static server has.
package static

import (
	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// Files are the metadata files of r as it is now, by name: every root, and the present version of the other roles.
func Files(r *tuftest.Repository) map[string][]byte {
	version := func(role *tuftest.Role) int64 {
		if r.Consistent {
			return role.Version
		}
		return 0
	}
	files := map[string][]byte{
		verifier.FileName(verifier.Timestamp, 0):                  r.TimestampFile(),
		verifier.FileName(verifier.Snapshot, version(r.Snapshot)): r.SnapshotFile(),
	}
	for i, root := range r.Roots {
		files[verifier.FileName(verifier.Root, int64(i+1))] = root
	}
	for name, role := range r.Roles {
		files[verifier.FileName(name, version(role))] = r.RoleFile(name)
	}
	return files
}
