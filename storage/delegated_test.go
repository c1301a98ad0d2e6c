package storage

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// A database that roles nobody delegates to any more have filled to its largest size, as agents of before let them: what Load
// lists can be dropped all at once, and then new metadata has room again.
func TestAFullDatabaseIsEmptied(t *testing.T) {
	dir := fastDir(t)
	s := openT(t, dir)
	document := bytes.Repeat([]byte("f"), inlineBytesMax-100)
	put := func(role string) error {
		return s.Commit(agent.Change{Metadata: verifier.Change{Put: []verifier.Document{{Key: verifier.Key{Role: role}, Bytes: document}}}})
	}
	must(t, put(verifier.Targets))
	n := 0
	for ; put(fmt.Sprintf("v-%d", n)) == nil; n++ {
		if n > 2000 {
			t.Fatal("the database does not fill")
		}
	}
	must(t, s.Close())
	s = openT(t, dir)
	st, err := s.Load()
	must(t, err)
	if len(st.Delegated) < n {
		t.Errorf("%d documents are listed, and %d were stored", len(st.Delegated), n)
	}
	must(t, s.Commit(agent.Change{Metadata: verifier.Change{Drop: st.Delegated}}))
	must(t, put("new"))
	must(t, s.Close())
	s = openT(t, dir)
	defer s.Close()
	for _, role := range []string{verifier.Targets, "new"} {
		got, err := s.Document(verifier.Key{Role: role})
		must(t, err)
		wantBytes(t, role, got, document)
	}
	if st, err = s.Load(); err != nil || len(st.Delegated) != 1 {
		t.Errorf("%d documents are listed, expected one: %v", len(st.Delegated), err)
	}
}
