package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ota-agent/ota-agent/publish"
	"github.com/ota-agent/ota-agent/release"
)

// A publisher makes releases and signs them with real keys, as someone with ota-repo does.
type publisher struct {
	dir   string
	repo  *publish.Repo
	show  *show
	seed  uint64
	apps  map[string]string // the application's program by version
	index int64             // the last rollback_index
}

// A published release, as the publisher knows it.
type published struct {
	Version string
	Target  string // its target path
	// File is the publisher's own copy.
	File   string
	SHA256 string // hex
	Length int64
}

// Target paths of the device's components, as its config writes them.
const (
	systemTarget = "{hardware}/{channel}/rootfs.img"
	appTarget    = "{hardware}/{channel}/demoapp.tar.gz"
	targetDir    = hardware + "/" + channel + "/"
)

// healthySystem and brokenSystem say what comes of a system once it has booted.
const (
	healthySystem = true
	brokenSystem  = false
)

// demoKDF makes opening the demo's keys cheap: they guard nothing.
var demoKDF = publish.KDF{LogN: 10, R: 8, P: 1}

// openPublisher makes a new repository with keys of its own.
func openPublisher(dir string, show *show, seed uint64, apps map[string]string) (*publisher, error) {
	secret := publish.FixedPassphrase("demo")
	options := publish.Options{Now: time.Now(), Passphrase: secret, KDF: demoKDF, Hardware: []string{hardware}}
	if _, err := publish.Init(dir, options); err != nil {
		return nil, fmt.Errorf("make the repository: %w", err)
	}
	repo, err := publish.Open(dir, publish.Access{Passphrase: secret})
	if err != nil {
		return nil, fmt.Errorf("open the repository: %w", err)
	}
	return &publisher{dir: dir, repo: repo, show: show, seed: seed, apps: apps}, nil
}

func (p *publisher) close() error { return p.repo.Close() }

func (p *publisher) repository() string { return publish.RepositoryDir(p.dir) }

// anchor is the root.json that is shipped with the device.
func (p *publisher) anchor() string {
	return filepath.Join(publish.MetadataDir(p.dir), "1.root.json")
}

// timestamp is the one file by which devices learn that anything is new.
func (p *publisher) timestamp() string {
	return filepath.Join(publish.MetadataDir(p.dir), "timestamp.json")
}

// system publishes a system image of size bytes.
func (p *publisher) system(version string, healthy bool, size int64) (published, error) {
	file := filepath.Join(p.dir, "system-"+version+".img")
	seed := sha256.Sum256(fmt.Appendf(nil, "%d %s", p.seed, version))
	if err := writeImage(file, version, healthy, size, seed); err != nil {
		return published{}, err
	}
	return p.publish(targetDir+"rootfs.img", "system "+version, version, file)
}

// app publishes the application: a tar.gz archive with its program.
func (p *publisher) app(version string) (published, error) {
	file := filepath.Join(p.dir, "demoapp-"+version+".tar.gz")
	if err := packApp(file, p.apps[version]); err != nil {
		return published{}, fmt.Errorf("pack demoapp %s: %w", version, err)
	}
	return p.publish(targetDir+"demoapp.tar.gz", "demoapp "+version, version, file)
}

// publish signs a release into the repository: targets, snapshot, timestamp.
func (p *publisher) publish(target, what, version, file string) (published, error) {
	image, err := os.Open(file)
	if err != nil {
		return published{}, err
	}
	defer func() { _ = image.Close() }()
	p.index++
	index := p.index
	added, err := p.repo.Add(publish.Addition{Path: target, Image: image, Info: release.Info{
		Version: version, RollbackIndex: &index, Hardware: []string{hardware},
	}})
	if err != nil {
		return published{}, fmt.Errorf("add %s: %w", what, err)
	}
	files, err := p.repo.Publish(time.Now())
	if err != nil {
		return published{}, fmt.Errorf("publish %s: %w", what, err)
	}
	p.show.say("publisher", "%s: %s, SHA-256 %s…, signed into %s", what, mib(added.Length), short(added.SHA256), metadataNames(files))
	return published{Version: version, Target: target, File: file, SHA256: added.SHA256, Length: added.Length}, nil
}

// metadataNames are the metadata files among the uploads.
func metadataNames(files []string) string {
	var names []string
	for _, f := range files {
		if filepath.Ext(f) == ".json" {
			names = append(names, filepath.Base(f))
		}
	}
	return strings.Join(names, ", ")
}

// packApp makes a release of the application: a tar.gz archive that is the same for the same program.
func packApp(file, program string) (err error) {
	binary, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	zip, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(zip)
	head := &tar.Header{Name: "./demoapp", Mode: 0o755, Size: int64(len(binary)), Format: tar.FormatUSTAR}
	if err := archive.WriteHeader(head); err != nil {
		return err
	}
	if _, err := archive.Write(binary); err != nil {
		return err
	}
	return errors.Join(archive.Close(), zip.Close())
}
