package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// A factory makes a device out of a board: what a device maker's image and first flashing do.
type factory struct {
	board  *board
	built  binaries
	mirror *mirror
	broker *broker
	anchor string // the publisher's first root.json
	// sockets that the board's service manager holds for the application
	appSocket *net.TCPListener
}

// Who the device is.
const (
	deviceID   = "demo-1"
	hardware   = "sim-board"
	channel    = "stable"
	mqttPrefix = "ota"
)

// Topics of the device.
const (
	wakeAll     = mqttPrefix + "/wake"
	wakeDevice  = mqttPrefix + "/device/" + deviceID + "/wake"
	statusTopic = mqttPrefix + "/device/" + deviceID + "/status"
	eventTopic  = mqttPrefix + "/device/" + deviceID + "/event"
)

func (f factory) abHook() string { return f.board.paths.hook("ab-file") }

func (f factory) appHook() string { return f.board.paths.hook("app-symlink") }

// copyHooks puts the shipped hooks onto the board, as its image would hold them. The agent runs none that
// others may change, and the source tree may be anybody's.
func (f factory) copyHooks() error {
	for _, path := range []string{f.abHook(), f.appHook()} {
		text, err := os.ReadFile(filepath.Join(f.built.tree, "packaging", "hooks", filepath.Base(path)))
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// provision fills the board's flash: system 1 in slot A, application 1.0, anchor and config.
func (f factory) provision(ctx context.Context, v1, app published, healthURL string) error {
	p := f.board.paths
	for _, dir := range []string{p.slots(), p.appDir(), p.state(), p.hooks()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := f.copyHooks(); err != nil {
		return fmt.Errorf("copy the hooks: %w", err)
	}
	if err := f.flashSystem(ctx, v1); err != nil {
		return fmt.Errorf("flash system 1: %w", err)
	}
	if err := f.flashApp(ctx, app); err != nil {
		return fmt.Errorf("flash the application: %w", err)
	}
	root, err := os.ReadFile(f.anchor)
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.anchor(), root, 0o644); err != nil {
		return err
	}
	return os.WriteFile(p.config(), []byte(f.config(healthURL)), 0o644)
}

// flashSystem writes slot A with the device's own hook. The factory's jig counts as booted from slot B meanwhile.
func (f factory) flashSystem(ctx context.Context, v1 published) error {
	p := f.board.paths
	if err := os.WriteFile(p.bootEnv(), []byte("primary=B\ntry=\ngood.A=0\ngood.B=0\n"), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(p.booted(), []byte("B\n"), 0o644); err != nil {
		return err
	}
	if err := f.hook(ctx, f.abHook(), v1, "AB_DIR="+p.slots(), "install", "A"); err != nil {
		return err
	}
	if err := os.WriteFile(p.booted(), []byte("A\n"), 0o644); err != nil {
		return err
	}
	return f.hook(ctx, f.abHook(), v1, "AB_DIR="+p.slots(), "confirm", "A")
}

func (f factory) flashApp(ctx context.Context, app published) error {
	for _, verb := range []string{"install", "try", "confirm"} {
		if err := f.hook(ctx, f.appHook(), app, "APP_DIR="+f.board.paths.appDir(), verb, "B"); err != nil {
			return err
		}
	}
	return nil
}

// hook runs one verb as the hook protocol has it.
func (f factory) hook(ctx context.Context, hook string, r published, dir, verb, slot string) error {
	image, err := os.Open(r.File)
	if err != nil {
		return err
	}
	defer func() { _ = image.Close() }()
	cmd := exec.CommandContext(ctx, hook, verb, slot)
	cmd.Stdin = image
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), dir, "OTA_INPUT=" + r.File, "OTA_SLOT=" + slot,
		"OTA_SHA256=" + r.SHA256, "OTA_SHA512=", "OTA_VERSION=" + r.Version, "OTA_LENGTH=" + strconv.FormatInt(r.Length, 10),
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s %s: %w: %s", filepath.Base(hook), verb, slot, err, bytes.TrimSpace(out))
	}
	return nil
}

// config is the device's config.toml. Its times are short, since the story is.
func (f factory) config(healthURL string) string {
	p := f.board.paths
	button := func(word string) []string { return []string{f.built.self, "board", p.button, word} }
	var restart []string
	for _, word := range button(wordRestart) {
		restart = append(restart, shellQuote(word))
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("anchor = %q\nstate = %q\nsocket = %q", p.anchor(), p.state(), p.socket())
	line("[device]\nid = %q\nhardware = %q\nchannel = %q", deviceID, hardware, channel)
	line("[repository]\nmetadata = %q\ntargets = %q", f.mirror.url+"/metadata/", f.mirror.url+"/targets/")
	line("poll = \"720h\"\nbackoff_min = \"4s\"\nbackoff_max = \"4s\"")
	line("[reboot]\ncommand = [%s]\nboot_id = %q", quoteAll(button(wordReboot)), p.bootID())
	line("[mqtt]\nbroker = %q\nprefix = %q", f.broker.url, mqttPrefix)
	line("start_jitter = \"0s\"\nreconnect_spread = \"1s\"\nwake_spread = \"1s\"") // a fleet of one, and people who watch it
	line("[[component]]\nname = %q\ntarget = %q\nhook = %q\nreboot = true", system, systemTarget, f.abHook())
	line("env = { AB_DIR = %q }\n[component.health]\nhttp = %q\nevery = \"1s\"\ndeadline = \"2m\"", p.slots(), healthURL)
	line("[[component]]\nname = %q\ntarget = %q\nhook = %q\nreboot = false", application, appTarget, f.appHook())
	line("env = { APP_DIR = %q, APP_RESTART = %q }", p.appDir(), strings.Join(restart, " "))
	line("[component.health]\nhttp = %q\nevery = \"1s\"\ndeadline = \"2m\"", "http://"+f.appSocket.Addr().String()+"/healthz")
	return b.String()
}

func quoteAll(words []string) string {
	var quoted []string
	for _, w := range words {
		quoted = append(quoted, strconv.Quote(w))
	}
	return strings.Join(quoted, ", ")
}

func shellQuote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// agentCommand starts the agent, as its unit does.
func (f factory) agentCommand() *exec.Cmd {
	return exec.Command(f.built.agent, "run", "--config", f.board.paths.config())
}

// appCommand starts the application through its hook's launcher, with the socket that the service manager holds
// open for it (sd_listen_fds(3)).
func (f factory) appCommand() *exec.Cmd {
	socket, err := f.appSocket.File()
	if err != nil {
		return nil
	}
	cmd := exec.Command(f.appHook(), "launch", "./demoapp")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "APP_DIR=" + f.board.paths.appDir(), "LISTEN_FDS=1"}
	cmd.ExtraFiles = []*os.File{socket}
	return cmd
}
