package e2e

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/mqtt/schematest"
)

// A mosquitto is Debian's broker with mutual TLS: the common name of a client's certificate is its user name,
// and the rules are by user.
type mosquitto struct {
	t       testing.TB
	program string
	dir     string
	address string
	ca      *authority
	cmd     *exec.Cmd
}

// deviceRules are those that docs/mqtt.md shows: a device hears its wakes, writes its own topics, and reads
// its own status.
var deviceRules = func() string {
	text, err := os.ReadFile("../docs/mqtt.md")
	if err != nil {
		panic(err)
	}
	_, rules, _ := strings.Cut(string(text), "\n### Rules\n\n")
	rules, _, _ = strings.Cut(rules, "\n- ")
	return strings.TrimSpace(strings.ReplaceAll("\n"+rules, "\n    ", "\n")) + "\n"
}()

// startMosquitto starts a broker with these rules. more goes into its config in the place of mutual TLS.
func startMosquitto(t testing.TB, rules, more string) *mosquitto {
	t.Helper()
	m := &mosquitto{t: t, program: install(t, "mosquitto", "mosquitto"), dir: t.TempDir(), address: freeAddress(t)}
	install(t, "mosquitto_pub", "mosquitto-clients")
	m.ca = newAuthority(t, m.dir)
	m.ca.issue("broker", time.Now().Add(time.Hour))
	m.ca.issue("operator", time.Now().Add(time.Hour))
	_, port, err := net.SplitHostPort(m.address)
	must(t, err)
	if more == "" {
		more = "require_certificate true\nuse_identity_as_username true\nallow_anonymous false\n"
	}
	m.rules(rules)
	config := fmt.Sprintf(`user root
persistence true
persistence_location %[1]s/
autosave_interval 1
autosave_on_changes true
log_dest file %[1]s/log
log_type all
acl_file %[1]s/rules
listener %[2]s 127.0.0.1
cafile %[1]s/ca.pem
certfile %[1]s/broker.pem
keyfile %[1]s/broker-key.pem
%[3]s`, m.dir, port, more)
	must(t, os.WriteFile(filepath.Join(m.dir, "conf"), []byte(config), 0o600))
	m.start()
	t.Cleanup(m.kill)
	return m
}

func (m *mosquitto) rules(rules string) {
	m.t.Helper()
	must(m.t, os.WriteFile(filepath.Join(m.dir, "rules"), []byte(rules), 0o600))
}

func (m *mosquitto) start() {
	m.t.Helper()
	m.cmd = exec.Command(m.program, "-c", filepath.Join(m.dir, "conf"))
	m.cmd.Stderr = os.Stderr
	must(m.t, m.cmd.Start())
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", m.address)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			m.t.Fatalf("mosquitto does not start: %s", m.log())
		}
	}
}

// kill ends the broker without a warning.
func (m *mosquitto) kill() {
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
	m.cmd = nil
}

func (m *mosquitto) log() string {
	b, _ := os.ReadFile(filepath.Join(m.dir, "log"))
	return string(b)
}

// as are the arguments with which mosquitto's own clients come as a user.
func (m *mosquitto) as(user string) []string {
	host, port, err := net.SplitHostPort(m.address)
	must(m.t, err)
	return []string{"-h", host, "-p", port, "--cafile", m.path("ca.pem"), "--cert", m.path(user + ".pem"), "--key", m.path(user + "-key.pem")}
}

func (m *mosquitto) path(name string) string { return filepath.Join(m.dir, name) }

// publish is mosquitto_pub, as docs/mqtt.md shows it.
func (m *mosquitto) publish(user string, args ...string) {
	m.t.Helper()
	cmd := exec.Command("mosquitto_pub", append(m.as(user), args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("mosquitto_pub %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// A said is a message that the operator hears.
type said struct {
	topic    string
	retained bool // it was there before
	payload  string
}

// A listener is mosquitto_sub on everything below ota/, as operator.
type listener struct {
	t    testing.TB
	mu   sync.Mutex
	all  []said
	stop func()
}

func (m *mosquitto) listen() *listener {
	m.t.Helper()
	cmd := exec.Command("mosquitto_sub", append(m.as("operator"), "-q", "1", "-t", "ota/#", "-F", "%t %r %x")...)
	out, err := cmd.StdoutPipe()
	must(m.t, err)
	must(m.t, cmd.Start())
	l := &listener{t: m.t}
	schemas, err := schematest.ReadSchemas("../docs") // of what it publishes
	must(m.t, err)
	var reading sync.WaitGroup
	reading.Go(func() {
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			fields := strings.SplitN(lines.Text(), " ", 3)
			payload, err := hex.DecodeString(fields[2])
			if err != nil {
				continue
			}
			if strings.Contains(fields[0], "/device/") && !strings.HasSuffix(fields[0], "/wake") {
				if err := schemas.Published(fields[0], payload); err != nil {
					m.t.Errorf("%s: %v: %s", fields[0], err, payload)
				}
			}
			l.mu.Lock()
			l.all = append(l.all, said{fields[0], fields[1] == "1", string(payload)})
			l.mu.Unlock()
		}
	})
	l.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		reading.Wait()
		_ = cmd.Wait()
	})
	m.t.Cleanup(l.stop)
	// It listens once the broker has answered its subscription.
	for end := time.Now().Add(10 * time.Second); !strings.Contains(m.log(), "ota/# (QoS 1)"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatalf("mosquitto_sub does not come: %s", m.log())
		}
	}
	return l
}

// heard is everything so far.
func (l *listener) heard() []said {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]said(nil), l.all...)
}

// last is the newest message on a topic.
func (l *listener) last(topic string) (payload string) {
	for _, m := range l.heard() {
		if m.topic == topic {
			payload = m.payload
		}
	}
	return payload
}

// count is how many messages came on a topic.
func (l *listener) count(topic string) (n int) {
	for _, m := range l.heard() {
		if m.topic == topic {
			n++
		}
	}
	return n
}

// An authority issues certificates into files of dir: NAME.pem and NAME-key.pem, its own into ca.pem.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, dir string) *authority {
	a := &authority{t: t, dir: dir}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "e2e CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	a.cert, err = x509.ParseCertificate(der)
	must(t, err)
	a.key = key
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) issue(name string, until time.Time) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	must(a.t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(a.t, err)
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+"-key.pem", "PRIVATE KEY", private)
}

func (a *authority) write(name, kind string, der []byte) {
	must(a.t, os.WriteFile(filepath.Join(a.dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// currentHook is the hook of a device that runs what the repository names, so that it stays as it is.
const currentHook = `#!/bin/sh
[ "$1" != status ] || printf 'slots=A,B\nbooted=A\nprimary=A\nstate.A=good\nstate.B=bad\nversion.A=2\nsha256.A=%s\n'
`

// newMQTTDevice provisions a device that comes to the broker as its ID. It reads its repository from a
// directory: once within 20 s, and then not for ten minutes, but for wakes. more goes into the table [mqtt].
func newMQTTDevice(t testing.TB, m *mosquitto, id, more string) *device {
	t.Helper()
	r := newRepository(t, 64<<10)
	d := newDevice(t, r, "file://"+filepath.Join(r.dir, "metadata"), "file://"+filepath.Join(r.dir, "targets"), "")
	m.ca.issue(id, time.Now().Add(time.Hour))
	must(t, os.WriteFile(d.path("hook"), []byte(fmt.Sprintf(currentHook, r.sha256)), 0o755))
	text, err := os.ReadFile(d.path("config.toml"))
	must(t, err)
	config := strings.Replace(string(text), `id = "e2e-1"`, fmt.Sprintf("id = %q\ngroup = \"beta\"", id), 1)
	config = strings.Replace(config, `poll = "1m"`, `poll = "20m"`, 1)
	config += fmt.Sprintf("[mqtt]\nbroker = \"tls://%s\"\nca = %q\n", m.address, m.path("ca.pem"))
	if !strings.Contains(more, "cert =") && !strings.Contains(more, "password_file") {
		config += fmt.Sprintf("cert = %q\nkey = %q\n", m.path(id+".pem"), m.path(id+"-key.pem"))
	}
	for key, usual := range map[string]string{"start_jitter": "0s", "reconnect_spread": "1s", "wake_spread": "1s"} {
		if !strings.Contains(more, key) {
			config += fmt.Sprintf("%s = %q\n", key, usual)
		}
	}
	must(t, os.WriteFile(d.path("config.toml"), []byte(config+more), 0o644))
	return d
}

// broker is the way to the broker, as the device's status shows it.
func (d *device) broker() agent.BrokerStatus {
	if b := d.status().MQTT; b != nil {
		return *b
	}
	return agent.BrokerStatus{}
}

// awaitBroker waits until the way to the broker is in a state, with a reason or (empty) none.
func (d *device) awaitBroker(state agent.BrokerState, reason agent.Reason, patience time.Duration) agent.BrokerStatus {
	d.t.Helper()
	var last agent.BrokerStatus
	d.await(fmt.Sprintf("broker state %q with reason %q", state, reason), patience, func() bool {
		last = d.broker()
		return last.State == state && last.Reason == reason
	})
	return last
}

// stop ends the agent with SIGTERM and waits for it.
func (d *device) stop() {
	d.t.Helper()
	must(d.t, d.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-d.ended:
		d.cmd = nil
	case <-time.After(20 * time.Second):
		d.t.Fatal("the agent does not end after SIGTERM")
	}
}

// checks is how often the repository was asked.
func (d *device) checks() uint64 { return d.status().Repository.Checks }
