package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
)

// A manifest stands at the front of a system image of the demo. It is what the simulated board "boots": which version
// the slot holds, whether that version turns out healthy, and how to tell that the slot was written whole.
type manifest struct {
	Version string
	Healthy bool
	// Bytes is the whole image's length; Payload is the SHA-256 of everything after the manifest's block.
	Bytes   int64
	Payload string
}

const (
	manifestMagic = "ota-sim system image"
	// manifestBlock is the manifest's room at the front of an image, in bytes.
	manifestBlock = 4096
	// imageBytesMax bounds an image that the board boots.
	imageBytesMax = 1 << 30
)

// errNotBootable: a slot does not hold one whole image.
var errNotBootable = errors.New("not bootable")

// writeImage makes a system image of size bytes at path. What follows the manifest is random, so that nothing
// compresses or repeats, and the same for the same seed.
func writeImage(path, version string, healthy bool, size int64, seed [32]byte) error {
	payload := make([]byte, size-manifestBlock)
	// ChaCha8's Read never fails.
	_, _ = rand.NewChaCha8(seed).Read(payload)
	sum := sha256.Sum256(payload)
	m := manifest{Version: version, Healthy: healthy, Bytes: size, Payload: hex.EncodeToString(sum[:])}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, head := f.Write(m.block())
	_, body := f.Write(payload)
	return errors.Join(head, body, f.Close())
}

// block is the manifest as it stands in an image, padded to manifestBlock bytes.
func (m manifest) block() []byte {
	healthy := "no"
	if m.Healthy {
		healthy = "yes"
	}
	b := fmt.Appendf(nil, "%s\nversion=%s\nhealthy=%s\nbytes=%d\npayload=%s\n",
		manifestMagic, m.Version, healthy, m.Bytes, m.Payload)
	return append(b, bytes.Repeat([]byte{0}, manifestBlock-len(b))...)
}

// readManifest reads a slot as a bootloader would that checks what it boots: a torn, short or foreign slot fails with
// errNotBootable.
func readManifest(path string) (manifest, error) {
	f, err := os.Open(path)
	if err != nil {
		return manifest{}, fmt.Errorf("%w: %w", errNotBootable, err)
	}
	defer func() { _ = f.Close() }()
	block := make([]byte, manifestBlock)
	if _, err := io.ReadFull(f, block); err != nil {
		return manifest{}, fmt.Errorf("%w: %s: read the manifest: %w", errNotBootable, path, err)
	}
	m, err := parseManifest(block)
	if err != nil {
		return manifest{}, fmt.Errorf("%w: %s: %w", errNotBootable, path, err)
	}
	hash := sha256.New()
	n, err := io.Copy(hash, io.LimitReader(f, m.Bytes-manifestBlock))
	if err != nil {
		return manifest{}, fmt.Errorf("%w: %s: %w", errNotBootable, path, err)
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != m.Payload {
		return manifest{}, fmt.Errorf("%w: %s: %d payload bytes with SHA-256 %s, the manifest says %d with %s",
			errNotBootable, path, n, sum, m.Bytes-manifestBlock, m.Payload)
	}
	return m, nil
}

func parseManifest(block []byte) (manifest, error) {
	text, _, _ := bytes.Cut(block, []byte{0})
	lines := bufio.NewScanner(bytes.NewReader(text))
	if !lines.Scan() || lines.Text() != manifestMagic {
		return manifest{}, fmt.Errorf("it does not begin with %q", manifestMagic)
	}
	fields := map[string]string{}
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), "=")
		fields[key] = value
	}
	size, err := strconv.ParseInt(fields["bytes"], 10, 64)
	if err != nil || size < manifestBlock || size > imageBytesMax {
		return manifest{}, fmt.Errorf("bytes=%q, expected %d to %d", fields["bytes"], manifestBlock, imageBytesMax)
	}
	return manifest{
		Version: fields["version"], Healthy: fields["healthy"] == "yes", Bytes: size, Payload: fields["payload"],
	}, nil
}
