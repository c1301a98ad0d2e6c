package install_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/install/hooktest"
)

// loaderEnv plays the bootloader's tool that the example of docs/hooks.md calls, on a file.
const loaderEnv = `#!/bin/sh
set -eu
file=DIR/loaderenv
case $1 in
get) sed -n "s/^$2=//p" "$file" ;;
set)
	shift
	cp "$file" "$file.new"
	for pair; do
		sed "/^${pair%%=*}=/d" "$file.new" >"$file.sed"
		mv "$file.sed" "$file.new"
		echo "$pair" >>"$file.new"
	done
	sync "$file.new"
	mv "$file.new" "$file"
	sync DIR
	;;
esac
`

// The example keeps the contract that it is an example for, on files in the place of partitions.
func TestDocumentedExampleKeepsTheContract(t *testing.T) {
	t.Parallel()
	_, example, ok := strings.Cut(read(t, filepath.Join("..", "docs", "hooks.md")), "\n    #!/bin/sh\n")
	if !ok {
		t.Fatal("docs/hooks.md has no example")
	}
	example, _, _ = strings.Cut(example, "\n## ")
	example = "#!/bin/sh\n" + strings.ReplaceAll("\n"+example, "\n    ", "\n")
	hooktest.Contract(t, func(t *testing.T) hooktest.Device {
		dir := deviceDir(t)
		bin := filepath.Dir(dir)
		hook := filepath.Join(bin, "hook")
		writeExecutable(t, hook, strings.NewReplacer("/dev/mmcblk0p2", dir+"/A", "/dev/mmcblk0p3", dir+"/B",
			"/proc/cmdline", dir+"/cmdline").Replace(example))
		writeExecutable(t, filepath.Join(bin, "loaderenv"), strings.ReplaceAll(loaderEnv, "DIR", dir))
		image := func(version string) []byte { return []byte(strings.Repeat("image "+version+"\n", 20_000)) }
		write(t, dir+"/A", string(image("1.0")))
		write(t, dir+"/B", "empty")
		write(t, dir+"/cmdline", "quiet slot=A ro\n")
		write(t, dir+"/loaderenv", fmt.Sprintf("default=A\nonce=\nokA=1\nokB=0\nshaA=%s\nshaB=\n", hexSum(image("1.0"))))
		return hooktest.Device{
			Hook: hook, Dir: dir, Image: image, Boots: 1,
			Env:  map[string]string{"PATH": bin + ":" + os.Getenv("PATH")},
			Boot: func(t *testing.T) { bootExample(t, dir) },
		}
	})
}

// bootExample is the bootloader: once, if set, is cleared and booted; otherwise default boots.
func bootExample(t *testing.T, dir string) {
	t.Helper()
	values := make(map[string]string)
	var rest []string
	for line := range strings.Lines(read(t, dir+"/loaderenv")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[key] = value
		if key != "once" {
			rest = append(rest, line)
		}
	}
	slot := values["default"]
	if values["once"] != "" {
		slot = values["once"]
	}
	write(t, dir+"/loaderenv", strings.Join(rest, "")+"once=\n")
	write(t, dir+"/cmdline", "quiet slot="+slot+" ro\n")
}
