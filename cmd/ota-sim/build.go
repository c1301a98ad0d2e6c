package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// binaries are the programs of the demo, and the source tree that they come from.
type binaries struct {
	agent string
	self  string            // this program: the board's button
	apps  map[string]string // demoapp by version
	tree  string
}

const (
	agentPackage = "./cmd/ota-agent"
	appPackage   = "./cmd/ota-sim/demoapp"
)

// appVersions are the versions of the application that the story needs.
func appVersions() []string { return []string{"1.0", "1.1"} }

// build makes the programs that the options do not name, in dir.
func build(ctx context.Context, dir string, o demoOptions) (binaries, error) {
	tree, err := sourceTree()
	if err != nil {
		return binaries{}, err
	}
	b := binaries{agent: filepath.Join(dir, "ota-agent"), self: o.Self, apps: map[string]string{}, tree: tree}
	if b.self == "" {
		if b.self, err = os.Executable(); err != nil {
			return b, err
		}
	}
	if o.Agent != "" {
		if b.agent, err = filepath.Abs(o.Agent); err != nil {
			return b, err
		}
		if _, err := os.Stat(b.agent); err != nil {
			return b, fmt.Errorf("--agent: %w: build it with \"make build\"", err)
		}
	} else if err := goBuild(ctx, tree, b.agent, agentPackage, ""); err != nil {
		return b, err
	}
	for _, version := range appVersions() {
		b.apps[version] = filepath.Join(dir, "demoapp-"+version)
		if err := goBuild(ctx, tree, b.apps[version], appPackage, "-s -w -X main.version="+version); err != nil {
			return b, err
		}
	}
	return b, nil
}

func goBuild(ctx context.Context, tree, out, pkg, ldflags string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags, "-o", out, pkg)
	cmd.Dir = tree
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, text)
	}
	return nil
}

// sourceTree is the nearest directory above the working directory that holds the module.
func sourceTree() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir, nil
		}
		if parent := filepath.Dir(dir); !errors.Is(err, fs.ErrNotExist) || parent == dir {
			return "", fmt.Errorf("run it inside the source tree: no go.mod in the working directory or above: %w", err)
		}
		dir = filepath.Dir(dir)
	}
}
