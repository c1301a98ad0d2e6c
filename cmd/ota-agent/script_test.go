package main

import (
	"errors"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ota-agent/ota-agent/publish"
	"github.com/ota-agent/ota-agent/release"
	"github.com/ota-agent/ota-agent/verifier"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ota-agent": main, "publish": publishMain, "floors": floorsMain})
}

// TestScripts runs the real main in a process of its own. Each script gets the files of testdata/common, the shipped
// hook app-symlink as $HOOK, and a publisher.
func TestScripts(t *testing.T) {
	text, err := os.ReadFile("../../packaging/hooks/app-symlink")
	if err != nil {
		t.Fatal(err)
	}
	hook := filepath.Join(t.TempDir(), "app-symlink") // the source tree may be another user's, whose hooks the agent does not run
	if err := os.WriteFile(hook, text, 0o755); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOOK", hook)
			return os.CopyFS(e.WorkDir, os.DirFS("testdata/common"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await": awaitCommand,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// quickKDF makes opening the test keys cheap: they guard nothing.
var quickKDF = publish.KDF{LogN: 10, R: 8, P: 1}

// publishMain is a small publisher: publish DIR VERSION IMAGE [AGO] makes a release of the target "app.tar", in a new
// repository where there is none, signed as of AGO before now. It leaves the anchor as DIR/root.json. It is a process
// of its own because its lock would be inherited by whatever another script starts at the same moment.
func publishMain() {
	if err := publishRelease(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func publishRelease(args []string) error {
	if len(args) < 3 {
		return errors.New("usage: publish DIR VERSION IMAGE [AGO]")
	}
	dir, now := args[0], time.Now()
	if len(args) > 3 {
		ago, err := time.ParseDuration(args[3])
		if err != nil {
			return err
		}
		now = now.Add(-ago)
	}
	secret := publish.FixedPassphrase("test")
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		_, err := publish.Init(dir, publish.Options{Now: now, Passphrase: secret, KDF: quickKDF, Hardware: []string{"board"}})
		if err != nil {
			return err
		}
	}
	repo, err := publish.Open(dir, publish.Access{Passphrase: secret})
	if err != nil {
		return err
	}
	defer repo.Close()
	image, err := os.Open(args[2])
	if err != nil {
		return err
	}
	defer image.Close()
	if _, err := repo.Add(publish.Addition{Path: "app.tar", Image: image, Info: release.Info{Version: args[1]}}); err != nil {
		return err
	}
	if _, err := repo.Publish(now); err != nil {
		return err
	}
	root, err := os.ReadFile(filepath.Join(publish.MetadataDir(dir), "1.root.json"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "root.json"), root, 0o644)
}

// floorsMain prints the floors that an image may ship: floors DIR, as ota-repo floors does.
func floorsMain() {
	dir := os.Args[1]
	anchor, err := os.ReadFile(filepath.Join(dir, "root.json"))
	if err != nil {
		log.Fatal(err)
	}
	floors, err := publish.Floors(publish.RepositoryDir(dir), anchor, time.Now(), nil)
	if err != nil {
		log.Fatal(err)
	}
	_, _ = os.Stdout.Write(verifier.FormatFloors(floors))
}

// awaitCommand waits until the agent answers on a socket: await SOCKET.
func awaitCommand(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(strings.Join(args, " "))
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("unix", path); err == nil {
			c.Close()
			return
		}
	}
	ts.Fatalf("nobody listens on %s", path)
}
