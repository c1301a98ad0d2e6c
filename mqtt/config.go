package mqtt

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// Config says which broker and as whom.
type Config struct {
	// Broker is tls://HOST[:8883] or tcp://HOST[:1883]. It holds no user and no password.
	Broker string
	// Prefix is the first part of every topic, 1–64 bytes without + # and space; default "ota".
	Prefix string
	// ClientID must be this device's alone; default: the device ID.
	ClientID string
	Username string
	// PasswordFile, CA, Cert and Key are paths, read anew at each connect. Without CA the system's
	// certificates count. Cert and Key go together.
	PasswordFile, CA, Cert, Key string
	// KeepAlive is the longest silence before a ping, 10 s to 18 h (MQTT's own limit); default 60 s.
	KeepAlive time.Duration
	// StartJitter bounds the wait before the first connection of a process; 0: none.
	StartJitter time.Duration
	// ReconnectSpread bounds the wait after the first session that ended or did not come about, 1 s to 1 h; default 5 min.
	ReconnectSpread time.Duration
	// WakeSpread is the spread of a wake to a group or the fleet that asks for none that can be read, 1 s to
	// 30 d; default 10 min.
	WakeSpread time.Duration
	Device     agent.Device
	// Now is the time that certificates are judged by: the agent's effective time.
	Now func() time.Time
	// NowIsFloor reports that nobody knows the time but that Now has passed: a certificate is not refused
	// then for beginning later. Nil: it is known.
	NowIsFloor func() bool
	// Random draws from [0,1), for jitter.
	Random func() float64
}

// Bounds of KeepAlive. On the wire it is a 16-bit number of seconds.
const (
	keepAliveMin     = 10 * time.Second
	keepAliveMax     = 18 * time.Hour
	keepAliveDefault = 60 * time.Second
	prefixBytesMax   = 64
	clientIDBytesMax = 128
)

// Defaults and bounds of the spreads. The defaults hold for a million devices: a server sees at most some
// 3,300 of them in a second.
const (
	StartJitterDefault     = 5 * time.Minute
	StartJitterMax         = 24 * time.Hour
	ReconnectSpreadDefault = 5 * time.Minute
	ReconnectSpreadMin     = time.Second
	ReconnectSpreadMax     = time.Hour
	WakeSpreadDefault      = 10 * time.Minute
	WakeSpreadMin          = time.Second // never 0: a wake that can't be read must not bring a whole fleet at once
	WakeSpreadMax          = 30 * 24 * time.Hour
)

// A broker is Config.Broker, parsed.
type broker struct {
	host, address string // address is host:port
	tls           bool
}

// ParseBroker checks a broker's URL as Config.Broker takes it.
func ParseBroker(raw string) error {
	_, err := parseBroker(raw)
	return err
}

// parseBroker never quotes raw: whoever puts a password there despite the rule would find it in the log.
func parseBroker(raw string) (broker, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return broker{}, errors.New("want tls://HOST:8883 or tcp://HOST:1883")
	}
	if u.User != nil {
		return broker{}, errors.New("a user or password does not belong in the URL: use username and password_file")
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return broker{}, fmt.Errorf("want only scheme, host and port, got a path or query after %s", u.Host)
	}
	b, port := broker{host: u.Hostname()}, u.Port()
	switch u.Scheme {
	case "tls", "ssl", "mqtts":
		b.tls = true
		if port == "" {
			port = "8883"
		}
	case "tcp", "mqtt":
		if port == "" {
			port = "1883"
		}
	default:
		return broker{}, fmt.Errorf("scheme %q is not one of tls, tcp", u.Scheme)
	}
	b.address = net.JoinHostPort(b.host, port)
	return b, nil
}

// CheckPrefix checks a topic prefix as Config.Prefix takes it.
func CheckPrefix(prefix string) error {
	if len(prefix) > prefixBytesMax {
		return fmt.Errorf("want at most %d bytes, got %d", prefixBytesMax, len(prefix))
	}
	for _, level := range strings.Split(prefix, "/") {
		if !topicLevel(level) {
			return fmt.Errorf("want names of A–Z a–z 0–9 . _ - with single slashes between them, got %q", prefix)
		}
	}
	return nil
}

// topicLevel is true for text that can stand between two slashes of a topic: no wildcard, no "$".
func topicLevel(s string) bool {
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)) {
			return false
		}
	}
	return s != ""
}

// complete checks cfg and fills in its defaults.
func (cfg Config) complete() (Config, broker, error) {
	b, err := parseBroker(cfg.Broker)
	if err != nil {
		return cfg, b, fmt.Errorf("mqtt broker: %w", err)
	}
	if cfg.Prefix == "" {
		cfg.Prefix = "ota"
	}
	if err := CheckPrefix(cfg.Prefix); err != nil {
		return cfg, b, fmt.Errorf("mqtt prefix: %w", err)
	}
	if cfg.ClientID == "" {
		cfg.ClientID = cfg.Device.ID
	}
	if cfg.KeepAlive == 0 {
		cfg.KeepAlive = keepAliveDefault
	}
	if cfg.ReconnectSpread == 0 {
		cfg.ReconnectSpread = ReconnectSpreadDefault
	}
	if cfg.WakeSpread == 0 {
		cfg.WakeSpread = WakeSpreadDefault
	}
	switch {
	case !topicLevel(cfg.Device.ID):
		err = fmt.Errorf("mqtt: device ID %q can't be part of a topic", cfg.Device.ID)
	case cfg.Device.Group != "" && !topicLevel(cfg.Device.Group):
		err = fmt.Errorf("mqtt: group %q can't be part of a topic", cfg.Device.Group)
	case len(cfg.ClientID) > clientIDBytesMax:
		err = fmt.Errorf("mqtt client ID: want at most %d bytes, got %d", clientIDBytesMax, len(cfg.ClientID))
	case cfg.KeepAlive < keepAliveMin || cfg.KeepAlive > keepAliveMax:
		err = fmt.Errorf("mqtt keep-alive: want %s to %s, got %s", keepAliveMin, keepAliveMax, cfg.KeepAlive)
	case cfg.StartJitter < 0 || cfg.StartJitter > StartJitterMax:
		err = fmt.Errorf("mqtt start jitter: want 0 to %s, got %s", StartJitterMax, cfg.StartJitter)
	case cfg.ReconnectSpread < ReconnectSpreadMin || cfg.ReconnectSpread > ReconnectSpreadMax:
		err = fmt.Errorf("mqtt reconnect spread: want %s to %s, got %s", ReconnectSpreadMin, ReconnectSpreadMax, cfg.ReconnectSpread)
	case cfg.WakeSpread < WakeSpreadMin || cfg.WakeSpread > WakeSpreadMax:
		err = fmt.Errorf("mqtt wake spread: want %s to %s, got %s", WakeSpreadMin, WakeSpreadMax, cfg.WakeSpread)
	case (cfg.Cert == "") != (cfg.Key == ""):
		err = errors.New("mqtt: cert and key go together, one is missing")
	case cfg.Now == nil || cfg.Random == nil:
		err = errors.New("mqtt: Now and Random are required")
	}
	return cfg, b, err
}

// Topics.

func (cfg Config) wakeTopics() []string {
	topics := []string{cfg.Prefix + "/wake", cfg.deviceTopic("wake")}
	if cfg.Device.Group != "" {
		topics = append(topics, cfg.Prefix+"/group/"+cfg.Device.Group+"/wake")
	}
	return topics
}

// usualSpread is the spread of a wake on this topic that names none. Only this device hears its own topic.
func (cfg Config) usualSpread(topic string) time.Duration {
	if topic == cfg.deviceTopic("wake") {
		return 0
	}
	return cfg.WakeSpread
}

func (cfg Config) deviceTopic(name string) string {
	return cfg.Prefix + "/device/" + cfg.Device.ID + "/" + name
}
