package daemon

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/seal"
)

// settings is all that can be set. Each setting has one name: a flag on the
// command line (--name value) and a line of the file (name = value), flags over
// file over default. The file is so plain that it needs no library: settings
// are few and flat, and what has structure (doors, sites, policies) is in the
// store, where the API changes it.
type settings struct {
	program    Program
	data       string
	sandbox    place
	production place
	acme       web.ACMEOptions // Names and Cache are an environment's
	packs      string
	masterKey  string
	auditDays  int
	copies     int
	uploadLife time.Duration
	limits     api.Limits
	smtp       relaySettings
	drain      time.Duration
	logLevel   slog.Level
}

// place is what each environment has of its own.
type place struct {
	listen string
	url    string
	tls    string
	camera string

	registration string
	factor       string
}

// of returns the settings of an environment.
func (s *settings) of(env store.Environment) *place {
	if env == store.Production {
		return &s.production
	}
	return &s.sandbox
}

// flags declares the settings and their defaults.
func (s *settings) flags() *flag.FlagSet {
	p := &s.program
	fs := flag.NewFlagSet(p.name, flag.ContinueOnError)
	fs.StringVar(&s.data, "data", p.data, "`folder` of the data; one for each")
	fs.StringVar(&s.sandbox.listen, "listen", p.listen, "`address` and port of the sandbox API")
	fs.StringVar(&s.sandbox.url, "url", "", "`URL` under which clients reach the sandbox, for upload links; empty: as each client called it")
	fs.StringVar(&s.sandbox.tls, "tls", p.tls, "certificate of the sandbox: own, files:CERT,KEY, acme:NAME[,NAME], off, or auto: off on loopback, own elsewhere")
	fs.StringVar(&s.production.listen, "production-listen", p.secure, "`address` and port of the production API, once cypherface env enable production has made it")
	fs.StringVar(&s.production.url, "production-url", "", "`URL` under which clients reach production, for upload links; empty: as each client called it")
	fs.StringVar(&s.production.tls, "production-tls", "own", "certificate of production: own, files:CERT,KEY, or acme:NAME[,NAME]")
	s.sandbox.camera, s.production.camera = "none:", "none:"
	if !p.central {
		fs.StringVar(&s.sandbox.camera, "camera", "auto:", "camera `URL` of the sandbox: auto:, v4l2:/dev/video0, rtsp://HOST/PATH, http://HOST/PATH, file:CLIP, dir:FOLDER, demo:, or none:")
		fs.StringVar(&s.production.camera, "production-camera", "auto:", "camera `URL` of production; there are no demo people in it")
	}
	fs.StringVar(&s.sandbox.registration, "registration", "closed", "who may register a merchant in the sandbox: closed, invite or open")
	fs.StringVar(&s.production.registration, "production-registration", "closed", "who may register a merchant in production: closed, invite or open")
	fs.StringVar(&s.sandbox.factor, "second-factor", "optional", "whether owners and administrators of the sandbox need a second factor: optional or required")
	fs.StringVar(&s.production.factor, "production-second-factor", "required", "whether owners and administrators of production need a second factor: optional or required")
	s.smtp.flags(fs)
	fs.StringVar(&s.acme.Directory, "acme-directory", "", "`URL` of the ACME authority; empty: Let's Encrypt")
	fs.StringVar(&s.acme.Email, "acme-email", "", "`address` that the ACME authority may write to")
	fs.StringVar(&s.acme.CA, "acme-ca", "", "`file` (PEM) that the ACME authority is known by; empty: what the system trusts")
	fs.StringVar(&s.packs, "packs", "", "`folder` of the packs; empty: packs/ beside the program")
	fs.StringVar(&s.masterKey, "master-key", "", "`place` of the key that protects the data: file:PATH, passphrase, passphrase-fd:N; empty: systemd's credential, else a file beside the data")
	fs.IntVar(&s.auditDays, "audit-days", 365, "how many `days` the audit log reaches back; 0: for ever")
	fs.IntVar(&s.copies, "copies", 3, "how many daily copies of each store are kept in the data folder; 0: none")
	fs.DurationVar(&s.uploadLife, "upload-life", 4800*time.Second, "how long an upload link is good for")
	fs.Float64Var(&s.limits.Key, "rate-key", 50, "requests a `second` with one API key in the long run, twice as many at once; 0: without limit")
	fs.Float64Var(&s.limits.Account, "rate-account", 20, "requests a `second` of one account, all its logins together; 0: without limit")
	fs.Float64Var(&s.limits.Address, "rate-address", 100, "requests a `second` from one address; 0: without limit")
	fs.DurationVar(&s.drain, "drain", 10*time.Second, "how long requests may go on after the signal to stop")
	fs.TextVar(&s.logLevel, "log-level", slog.LevelInfo, "`level` of the log: debug, info, warn or error")
	return fs
}

// errHelp ends run after the help was printed.
var errHelp = flag.ErrHelp

// parseSettings reads the command line and the file it names with --config.
func parseSettings(p Program, args []string, out io.Writer) (settings, error) {
	s := settings{program: p}
	fs := s.flags()
	file := fs.String("config", "", "`file` with settings, one \"name = value\" a line")
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		fs.SetOutput(out)
		fmt.Fprintf(out, "usage: %s [flags]\n\nRuns %s. The first start makes a sandbox merchant and\nprints its key.\n%s\nflags:\n", p.name, p.what, p.more)
		fs.PrintDefaults()
		return s, errHelp
	} else if err != nil {
		return s, fmt.Errorf("read the command line: %w (%s --help lists the flags)", err, p.name)
	}
	if fs.NArg() > 0 {
		return s, fmt.Errorf("read the command line: unexpected %q (%s --help lists the flags)", fs.Arg(0), p.name)
	}
	if *file != "" {
		if err := readFile(fs, *file); err != nil {
			return s, err
		}
	}
	return s, s.check()
}

// readFile sets what the command line has not set from a file.
func readFile(fs *flag.FlagSet, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	defer f.Close()
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if err := applyLines(fs, f, given); err != nil {
		return fmt.Errorf("read settings: %s: %w", path, err)
	}
	return nil
}

// applyLines sets flags from "name = value" lines; a # at the beginning of a
// line makes it a comment. Values stand as they are, without quotes. Names in
// given are checked but not set.
func applyLines(fs *flag.FlagSet, r io.Reader, given map[string]bool) error {
	seen := map[string]bool{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case !ok:
			return fmt.Errorf("line %d: want name = value", n)
		case fs.Lookup(name) == nil || name == "config":
			return fmt.Errorf("line %d: there is no setting %q", n, name)
		case seen[name]:
			return fmt.Errorf("line %d: %s is set twice", n, name)
		}
		seen[name] = true
		if given[name] {
			continue
		}
		if err := fs.Set(name, value); err != nil {
			return fmt.Errorf("line %d: %s: %w", n, name, err)
		}
	}
	return lines.Err()
}

// check refuses what cannot work, before anything is opened.
func (s *settings) check() error {
	if s.data == "" {
		return errors.New("check settings: data: name a folder")
	}
	for prefix, p := range map[string]*place{"": &s.sandbox, "production-": &s.production} {
		if err := p.check(prefix); err != nil {
			return err
		}
	}
	if _, err := seal.ParseMaster(s.masterKey); err != nil {
		return fmt.Errorf("check settings: master-key: %w", err)
	}
	if s.auditDays < 0 || s.auditDays > 36500 {
		return fmt.Errorf("check settings: audit-days: %d is not between 0 and 36500", s.auditDays)
	}
	if s.copies < 0 || s.copies > 100 {
		return fmt.Errorf("check settings: copies: %d is not between 0 and 100", s.copies)
	}
	if s.uploadLife < time.Second || s.uploadLife > 24*time.Hour {
		return fmt.Errorf("check settings: upload-life: %v is not between 1s and 24h", s.uploadLife)
	}
	for _, rate := range []float64{s.limits.Key, s.limits.Account, s.limits.Address} {
		if !(rate >= 0 && rate < 1e6) {
			return errors.New("check settings: rate-key, rate-account and rate-address are between 0 and 1000000")
		}
	}
	if err := s.smtp.check(); err != nil {
		return fmt.Errorf("check settings: %w", err)
	}
	if s.drain < 0 || s.drain > 5*time.Minute {
		return fmt.Errorf("check settings: drain: %v is not between 0s and 5m", s.drain)
	}
	return nil
}

// check refuses an address or URL that cannot work; prefix begins the names of
// the settings.
func (p *place) check(prefix string) error {
	if _, _, err := net.SplitHostPort(p.listen); err != nil {
		return fmt.Errorf("check settings: %slisten: %w (write 127.0.0.1:8080)", prefix, err)
	}
	if u, err := url.Parse(p.camera); err == nil && u.User != nil {
		if _, has := u.User.Password(); has {
			return fmt.Errorf("check settings: %scamera: it has a password, which anybody who reads the settings would know (leave it out; cypherface camera login %s --user %s keeps it in the store)", prefix, u.Host, u.User.Username())
		}
	}
	if _, err := p.certificate(); err != nil {
		return fmt.Errorf("check settings: %stls: %w", prefix, err)
	}
	if prefix != "" && (p.tls == "off" || p.tls == "auto") {
		return fmt.Errorf("check settings: %stls: production answers by TLS only (own, files:CERT,KEY, or acme:NAME)", prefix)
	}
	if !slices.Contains([]string{"closed", "invite", "open"}, p.registration) {
		return fmt.Errorf("check settings: %sregistration: %q is none of closed, invite, open", prefix, p.registration)
	}
	if p.factor != "optional" && p.factor != "required" {
		return fmt.Errorf("check settings: %ssecond-factor: %q is none of optional, required", prefix, p.factor)
	}
	if p.url == "" {
		return nil
	}
	u, err := url.Parse(p.url)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return fmt.Errorf("check settings: %surl: %q is not of the form http://box.example:8080", prefix, p.url)
	}
	return nil
}

// certificate splits the setting tls: off, own, files with two arguments, acme
// with at least one.
func (p *place) certificate() (kind certKind, err error) {
	word, rest, _ := strings.Cut(p.tls, ":")
	kind.word = word
	if rest != "" {
		kind.args = strings.Split(rest, ",")
	}
	n := len(kind.args)
	switch {
	case word == "auto" && n == 0 && local(p.listen):
		kind.word = "off"
	case word == "auto" && n == 0:
		kind.word = "own"
	case (word == "own" || word == "off") && n == 0, word == "files" && n == 2, word == "acme" && n > 0:
	default:
		return kind, fmt.Errorf("%q is none of auto, off, own, files:CERT,KEY, acme:NAME[,NAME]", p.tls)
	}
	return kind, nil
}

// certKind is where a certificate comes from.
type certKind struct {
	word string // off, own, files, acme
	args []string
}

// local reports whether only programs on the box itself reach the address.
func local(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
