package fetch

import (
	"net/url"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
)

func parsed(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestMetadataURL(t *testing.T) {
	for _, tt := range []struct{ base, name, want string }{
		{"https://r.example", "timestamp.json", "https://r.example/timestamp.json"},
		{"https://r.example/", "timestamp.json", "https://r.example/timestamp.json"},
		{"https://r.example/a/b", "1.root.json", "https://r.example/a/b/1.root.json"},
		{"https://r.example/a%2Fb%41/", "x.json", "https://r.example/a%2Fb%41/x.json"},
		{"https://r.example/a/../b//", "x.json", "https://r.example/a/../b//x.json"},
		{"https://r.example/m", "1.a%2Fb%3F%23%25.json", "https://r.example/m/1.a%2Fb%3F%23%25.json"},
		{"https://r.example/m", "..%2F..%2fx.json", "https://r.example/m/..%2F..%2fx.json"},
		{"https://r.example/m", "%61.json", "https://r.example/m/%61.json"},
		{"https://u:p@r.example:8443/m?sig=a%2Fb#x", "x.json", "https://u:p@r.example:8443/m/x.json?sig=a%2Fb"},
	} {
		got, err := metadataURL(parsed(t, tt.base), tt.name)
		if err != nil || got.String() != tt.want {
			t.Errorf("%s + %s: %v, %v; want %s", tt.base, tt.name, got, err, tt.want)
		}
	}
}

func TestImageURL(t *testing.T) {
	base := parsed(t, "https://r.example/t%20x/")
	for name, want := range map[string]string{
		"a/b.img":      "https://r.example/t%20x/a/b.img",
		"a b?c#d%e":    "https://r.example/t%20x/a%20b%3Fc%23d%25e",
		"%2e%2e/x":     "https://r.example/t%20x/%252e%252e/x",
		"/abs":         "https://r.example/t%20x//abs",
		"...":          "https://r.example/t%20x/...",
		"a\\..\\b":     "https://r.example/t%20x/a%5C..%5Cb",
		"a\r\nHost: x": "https://r.example/t%20x/a%0D%0AHost:%20x",
	} {
		got, err := imageURL(base, name)
		if err != nil || got.String() != want {
			t.Errorf("%q: %v, %v; want %s", name, got, err, want)
		}
	}
	for _, name := range []string{"", ".", "..", "../x", "a/../x", "a/..", "./a", "a/.", strings.Repeat("a", nameBytesMax+1)} {
		if got, err := imageURL(base, name); reasonOf(err) != agent.ReasonMalformed {
			t.Errorf("%q: %v, %v; want reason malformed", clip(name, 20), got, err)
		}
	}
}

// FuzzJoin: no name leaves the base, changes it, or reaches the query; and a server decodes what was meant.
func FuzzJoin(f *testing.F) {
	for _, s := range []string{"timestamp.json", "..", "../x", "a/../b", "%2e%2e%2fx", "a?b#c", "ü", "//host/x", "a%", "a:b@c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		base := &url.URL{Scheme: "https", Host: "r.example", Path: "/m/a/b", RawPath: "/m/a%2Fb", RawQuery: "k=v"}
		if u, err := metadataURL(base, name); err == nil {
			if got, want := u.EscapedPath(), "/m/a%2Fb/"+name; got != want {
				t.Errorf("metadata %q: path %q, want %q", name, got, want)
			}
			checkJoined(t, u)
		}
		if u, err := imageURL(base, name); err == nil {
			if u.Path != "/m/a/b/"+name {
				t.Errorf("image %q decodes to %q", name, u.Path)
			}
			checkJoined(t, u)
		}
	})
}

func checkJoined(t *testing.T, u *url.URL) {
	t.Helper()
	again, err := url.Parse(u.String())
	if err != nil || again.Host != "r.example" || again.RawQuery != "k=v" || again.Fragment != "" ||
		again.EscapedPath() != u.EscapedPath() || !strings.HasPrefix(u.EscapedPath(), "/m/a%2Fb/") {
		t.Errorf("%s parses as %+v, %v", u, again, err)
	}
	for s := range strings.SplitSeq(u.EscapedPath(), "/") {
		if s == "." || s == ".." {
			t.Errorf("%s has a dot segment", u)
		}
	}
}

func TestAddressed(t *testing.T) {
	digest := strings.Repeat("0a", 32)
	for name, want := range map[string]bool{
		digest + ".app.img":              true,
		"dir/" + digest + ".app.img":     true,
		digest + digest + ".x":           true,
		strings.ToUpper(digest) + ".app": true,
		digest:                           false,
		digest + "/app.img":              false,
		digest[1:] + ".app":              false,
		"g" + digest[1:] + ".app":        false,
		"app.img":                        false,
		"":                               false,
		digest + ".dir/app.img":          false,
	} {
		if addressed(name) != want {
			t.Errorf("addressed(%q) = %v", name, !want)
		}
	}
}

func TestNextRoot(t *testing.T) {
	for name, want := range map[string]bool{"2.root.json": true, "10.root.json": true, "root.json": false, ".root.json": false,
		"1.a.root.json": false, "x.root.json": false, "2.root.json.x": false, "1.targets.json": false} {
		if nextRoot(name) != want {
			t.Errorf("nextRoot(%q) = %v", name, !want)
		}
	}
}
