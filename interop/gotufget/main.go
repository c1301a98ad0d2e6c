// Command gotufget downloads one target with go-tuf's client, as its documentation shows it: the peer that the agent's
// download is measured beside (e2e, BenchmarkFetch).
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: gotufget BASE-URL ROOT.json TARGET-PATH DIRECTORY")
		os.Exit(2)
	}
	if err := get(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, "gotufget:", err)
		os.Exit(1)
	}
}

// get verifies the metadata below base, and puts the target into dir.
func get(base, anchor, path, dir string) error {
	root, err := os.ReadFile(anchor)
	if err != nil {
		return err
	}
	cfg, err := config.New(base+"/metadata", root)
	if err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	cfg.LocalMetadataDir, cfg.LocalTargetsDir = filepath.Join(dir, "metadata"), filepath.Join(dir, "targets")
	cfg.RemoteTargetsURL = base + "/targets"
	u, err := updater.New(cfg)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := u.Refresh(); err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	info, err := u.GetTargetInfo(path)
	if err != nil {
		return fmt.Errorf("find %s: %w", path, err)
	}
	if _, _, err := u.DownloadTarget(info, "", ""); err != nil {
		return fmt.Errorf("download %s: %w", path, err)
	}
	return nil
}
