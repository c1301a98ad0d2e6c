package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

const brokerPatience = 30 * time.Second

// With mutual TLS and rules by device: a session proves itself, a wake makes the device ask its repository,
// and what it says arrives.
func TestMosquittoWakesAndHears(t *testing.T) {
	m := startMosquitto(t, deviceRules, "")
	l := m.listen()
	d := newMQTTDevice(t, m, "board-1", "")
	d.start()
	d.awaitBroker(agent.BrokerProven, "", brokerPatience)
	d.await("the first check", brokerPatience, func() bool { return d.checks() > 0 })
	d.await("the proven status, and an event, at the broker", brokerPatience, func() bool {
		return strings.Contains(l.last("ota/device/board-1/status"), `"state":"proven"`) && l.last("ota/device/board-1/event") != ""
	})
	time.Sleep(2 * time.Second)
	documents := l.count("ota/device/board-1/status")
	for _, topic := range []string{"ota/wake", "ota/group/beta/wake", "ota/device/board-1/wake"} {
		before := d.checks()
		m.publish("operator", "-q", "1", "-t", topic, "-m", `{"nonce":"release-8","spread":1}`)
		d.await("a check after a wake on "+topic, brokerPatience, func() bool { return d.checks() > before })
	}
	if d.broker().LastWake.IsZero() {
		t.Error("the status shows no last wake")
	}
	if n := l.count("ota/device/board-1/status"); n != documents {
		t.Errorf("%d documents were published for three checks that found nothing new; the last is %s", n-documents, l.last("ota/device/board-1/status"))
	}
	if online := l.last("ota/device/board-1/online"); online != "1" {
		t.Errorf("online is %q", online)
	}
	// A device may not wake another one.
	m.ca.issue("board-2", time.Now().Add(time.Hour))
	before, woken := d.checks(), d.broker().LastWake
	m.publish("board-2", "-q", "1", "-t", "ota/device/board-1/wake", "-n")
	m.publish("board-2", "-q", "1", "-t", "ota/wake", "-n")
	time.Sleep(3 * time.Second)
	if d.checks() != before || d.broker().LastWake != woken {
		t.Error("another device woke this one")
	}
}

// Mosquitto acknowledges what it forbids, publications and subscriptions both. The device must not take that
// for being heard.
func TestMosquittoDenies(t *testing.T) {
	for name, rules := range map[string]string{
		"everything":              "user operator\ntopic readwrite ota/#\n",
		"reading the own status":  strings.Replace(deviceRules, "pattern read ota/device/%u/status\n", "", 1),
		"publishing own messages": strings.ReplaceAll(deviceRules, "pattern write", "pattern deny"),
	} {
		t.Run(name, func(t *testing.T) {
			m := startMosquitto(t, rules, "")
			d := newMQTTDevice(t, m, "board-1", "")
			d.start()
			since := d.awaitBroker(agent.BrokerUnproven, "", brokerPatience).Since
			time.Sleep(3 * time.Second)
			if b := d.broker(); b.State != agent.BrokerUnproven || b.Reason != "" || b.Since != since {
				t.Errorf("got %+v, want an unproven session that goes on", b)
			}
		})
	}
}

// A large retained message on the fleet's topic ended each session, until somebody cleared it.
func TestMosquittoLargeRetainedWake(t *testing.T) {
	for _, size := range []int{20 << 10, 300 << 10} {
		t.Run(fmt.Sprintf("%d KiB", size>>10), func(t *testing.T) {
			m := startMosquitto(t, deviceRules, "")
			d := newMQTTDevice(t, m, "board-1", "")
			must(t, os.WriteFile(d.path("large"), []byte(strings.Repeat("x", size)), 0o600))
			m.publish("operator", "-q", "1", "-r", "-t", "ota/wake", "-f", d.path("large"))
			d.start()
			b := d.awaitBroker(agent.BrokerProven, "", brokerPatience)
			d.await("a wake by the large message", brokerPatience, func() bool { return !d.broker().LastWake.IsZero() })
			d.await("the first check", brokerPatience, func() bool { return d.checks() > 0 })
			before := d.checks()
			m.publish("operator", "-q", "1", "-t", "ota/device/board-1/wake", "-n")
			d.await("a check after a wake", brokerPatience, func() bool { return d.checks() > before })
			if now := d.broker(); now.State != agent.BrokerProven || now.Since != b.Since {
				t.Errorf("the session ended: %+v, then %+v", b, now)
			}
		})
	}
}

// A typing error in a wake to the fleet does not bring it at once.
func TestMosquittoTypingErrorInAWake(t *testing.T) {
	m := startMosquitto(t, deviceRules, "")
	d := newMQTTDevice(t, m, "board-1", "wake_spread = \"20m\"\n")
	d.start()
	d.awaitBroker(agent.BrokerProven, "", brokerPatience)
	d.await("the first check", brokerPatience, func() bool { return d.checks() > 0 })
	before := d.checks()
	for _, payload := range []string{`{"nonce":"a","spread":"3600"}`, `{"nonce":"a","spread":3600`, `{"nonce":"a","spraed":0}`} {
		m.publish("operator", "-q", "1", "-t", "ota/wake", "-m", payload)
	}
	d.await("the wake", brokerPatience, func() bool { return !d.broker().LastWake.IsZero() })
	time.Sleep(2 * time.Second)
	if next := d.status().Repository.NextIn; d.checks() != before || next > 20*60 {
		t.Errorf("%d checks, the next in %d s; want none at once, and one within the spread of 20 min", d.checks()-before, next)
	}
	if !strings.Contains(d.tail(), "spread=20m0s") {
		t.Error("the log does not say over what time the device spreads the wake")
	}
}

// Three crashes right after a reconnect: the wait is about a minute, not half an hour, and the text names both causes.
func TestMosquittoCrashesThreeTimes(t *testing.T) {
	m := startMosquitto(t, deviceRules, "")
	d := newMQTTDevice(t, m, "board-1", "")
	d.start()
	for range 3 {
		d.awaitBroker(agent.BrokerProven, "", brokerPatience)
		m.kill()
		d.await("the end of the session", brokerPatience, func() bool { return d.broker().State != agent.BrokerProven })
		m.start()
	}
	b := d.awaitBroker(agent.BrokerWaiting, agent.ReasonThrownOut, brokerPatience)
	lost := time.Now()
	if !strings.Contains(b.Text, "crashes") || !strings.Contains(b.Text, "client ID board-1") {
		t.Errorf("the text does not name both causes: %s", b.Text)
	}
	d.await("a session", 70*time.Second, func() bool { return d.broker().State == agent.BrokerProven })
	t.Logf("back %s after the third crash", time.Since(lost).Round(time.Second))
	before := d.checks()
	m.publish("operator", "-q", "1", "-t", "ota/device/board-1/wake", "-n")
	d.await("a check after a wake", brokerPatience, func() bool { return d.checks() > before })
}

// Two agents with one ID, as after cloning an image: both see it.
func TestMosquittoFightOverAClientID(t *testing.T) {
	m := startMosquitto(t, deviceRules, "")
	first, second := newMQTTDevice(t, m, "board-1", ""), newMQTTDevice(t, m, "board-1", "")
	first.start()
	first.awaitBroker(agent.BrokerProven, "", brokerPatience)
	second.start()
	found := func(d *device) bool { return strings.Contains(d.tail(), "reason=thrown_out") }
	first.await("the fight, as both see it", 4*time.Minute, func() bool { return found(first) && found(second) })
}

// A wrong password is no outage: it has a reason of its own, and is tried again after minutes.
func TestMosquittoWrongPassword(t *testing.T) {
	passwords := t.TempDir() + "/passwords"
	hash(t, passwords, "board-1", "right")
	m := startMosquitto(t, deviceRules, "allow_anonymous false\npassword_file "+passwords+"\n")
	d := newMQTTDevice(t, m, "board-1", fmt.Sprintf("username = \"board-1\"\npassword_file = %q\n", passwords+".mine"))
	must(t, os.WriteFile(passwords+".mine", []byte("wrong\n"), 0o600))
	d.start()
	b := d.awaitBroker(agent.BrokerWaiting, agent.ReasonBrokerRefused, brokerPatience)
	if wait := b.RetryAt.Sub(b.Since); wait < 5*time.Minute {
		t.Errorf("tries again after %s", wait)
	}
	if log := d.tail(); strings.Contains(log, "wrong\n") {
		t.Error("the password is in the log")
	}
	d.stop()
	must(t, os.WriteFile(passwords+".mine", []byte("right\n"), 0o600))
	d.start()
	d.awaitBroker(agent.BrokerProven, "", brokerPatience)
}

func hash(t *testing.T, file, user, password string) {
	t.Helper()
	if out, err := exec.Command(install(t, "mosquitto_passwd", "mosquitto"), "-b", "-c", file, user, password).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v: %s", err, out)
	}
	must(t, os.Chmod(file, 0o600))
}

// Whatever ends a session, the broker says that the device is offline.
func TestMosquittoOnline(t *testing.T) {
	m := startMosquitto(t, deviceRules, "")
	l := m.listen()
	d := newMQTTDevice(t, m, "board-1", "")
	const topic = "ota/device/board-1/online"
	for name, end := range map[string]func(){
		"SIGTERM": func() { d.stop() },
		"SIGKILL": func() { d.kill() },
		"SIGTERM while the broker acknowledges nothing": func() {
			must(t, m.cmd.Process.Signal(syscall.SIGSTOP))
			d.stop()
			must(t, m.cmd.Process.Signal(syscall.SIGCONT))
		},
	} {
		t.Run(name, func(t *testing.T) {
			d.start()
			d.await("online 1", brokerPatience, func() bool { return l.last(topic) == "1" })
			d.awaitBroker(agent.BrokerProven, "", brokerPatience)
			end()
			for deadline := time.Now().Add(brokerPatience); l.last(topic) != "0"; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("online is %q", l.last(topic))
				}
			}
		})
	}
}

// A flood of wakes costs a line a minute, and a bounded number of checks.
func TestMosquittoFloodOfWakes(t *testing.T) {
	m := startMosquitto(t, deviceRules, "")
	d := newMQTTDevice(t, m, "board-1", "")
	d.start()
	d.awaitBroker(agent.BrokerProven, "", brokerPatience)
	d.await("the first check", brokerPatience, func() bool { return d.checks() > 0 })
	before := d.tail()
	cmd := exec.Command("mosquitto_pub", append(m.as("operator"), "-q", "0", "-t", "ota/device/board-1/wake", "-l")...)
	in, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		_, err := in.Write([]byte(strings.Repeat("{}\n", 10)))
		must(t, err)
	}
	in.Close()
	_ = cmd.Wait()
	lines := strings.Count(strings.TrimPrefix(d.tail(), before), "\n")
	t.Logf("20 s of 1,000 wakes a second: %d log lines, %d checks", lines, d.checks())
	if lines > 12 {
		t.Errorf("%d log lines:\n%s", lines, strings.TrimPrefix(d.tail(), before))
	}
	if d.checks() > 14 {
		t.Errorf("%d checks", d.checks())
	}
}

// Credentials that are lost, broken or too old end no agent, and are named.
func TestMosquittoCredentials(t *testing.T) {
	m := startMosquitto(t, deviceRules, "")
	cert := func(name string) string {
		return fmt.Sprintf("cert = %q\nkey = %q\n", m.path(name+".pem"), m.path(name+"-key.pem"))
	}
	m.ca.issue("old", time.Now().Add(-time.Hour))
	m.ca.issue("other", time.Now().Add(time.Hour))
	for name, c := range map[string]struct {
		more   string
		change func(d *device)
		want   string // in the text
	}{
		"lost":       {cert("none"), nil, "none.pem"},
		"mismatched": {fmt.Sprintf("cert = %q\nkey = %q\n", m.path("other.pem"), m.path("old-key.pem")), nil, "old-key.pem"},
		"expired":    {cert("old"), nil, "has expired"},
		"lost ca": {cert("other"), func(d *device) {
			text, err := os.ReadFile(d.path("config.toml"))
			must(t, err)
			must(t, os.WriteFile(d.path("config.toml"), []byte(strings.ReplaceAll(string(text), "/ca.pem", "/gone.pem")), 0o644))
		}, "gone.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newMQTTDevice(t, m, "board-1", c.more)
			if c.change != nil {
				c.change(d)
			}
			d.start()
			var b agent.BrokerStatus
			d.await("the reason", brokerPatience, func() bool { b = d.broker(); return b.Reason == agent.ReasonCredentials })
			if !strings.Contains(b.Text, c.want) {
				t.Errorf("the text does not say %q: %s", c.want, b.Text)
			}
			d.await("a check all the same", brokerPatience, func() bool { return d.checks() > 0 })
		})
	}
}
