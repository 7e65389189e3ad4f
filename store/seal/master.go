package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/sys/unix"
)

// ErrMaster says that the master key is missing or another than the keyring was
// wrapped with.
var ErrMaster = errors.New("no master key that fits")

// Source is where a master key comes from.
type Source string

const (
	Credential Source = "credential" // systemd hands it over, from a TPM where there is one
	KeyFile    Source = "key-file"   // a file elsewhere, as on a USB stick
	Passphrase Source = "passphrase"
	SameDisk   Source = "key-file-same-disk" // a key file on the file system of the data
	Local      Source = "local"              // beside what it protects
)

// Warning says what a source does not protect from; empty: nothing that the
// operator could better.
func (s Source) Warning() string {
	switch s {
	case Local:
		return "not protected against theft of the storage: the master key lies beside the data"
	case SameDisk:
		return "not protected against theft of the storage: the master key lies on the same disk"
	}
	return ""
}

const (
	// CredentialName is the name under which systemd hands the key over:
	// LoadCredentialEncrypted=cypherface-master.
	CredentialName = "cypherface-master"
	localName      = "master.key"
	nextName       = "master.key.next" // while a rotation is under way
)

// MasterOptions says where to look for a master key. Dir is required.
type MasterOptions struct {
	Dir         string // the data folder, where a local key lies
	Credentials string // folder of systemd's credentials; empty: none
	KeyFile     string // path of a key file; empty: none
	// Ask asks for a passphrase, twice where it is a new one; nil: none.
	Ask func(isNew bool) ([]byte, error)
}

// Master is a master key. It serves all environments of a box.
type Master struct {
	source Source
	path   string
	keys   []key // the second is that of a rotation that was cut
	fresh  bool  // not in its file yet
	ask    func(isNew bool) ([]byte, error)
}

// FindMaster returns the first of these: the credential of systemd, the key file,
// the passphrase, the local key of the data folder. A local key that is not there
// is made, and written with the first keyring that it wraps. A key is 32 bytes,
// as they are or in hex digits. The error matches ErrMaster where a key that was
// asked for is missing.
func FindMaster(opt MasterOptions) (*Master, error) {
	if opt.Credentials != "" {
		path := filepath.Join(opt.Credentials, CredentialName)
		if _, err := os.Stat(path); err == nil {
			return readMaster(Credential, path)
		}
	}
	switch {
	case opt.KeyFile != "" && sameFile(opt.KeyFile, filepath.Join(opt.Dir, localName)):
		// It is no better for being named, and no rotation must destroy it.
	case opt.KeyFile != "" && sameDisk(opt.KeyFile, opt.Dir):
		return readMaster(SameDisk, opt.KeyFile)
	case opt.KeyFile != "":
		return readMaster(KeyFile, opt.KeyFile)
	case opt.Ask != nil:
		return &Master{source: Passphrase, ask: opt.Ask}, nil
	}
	return localMaster(opt.Dir)
}

// Source says where the key comes from.
func (m *Master) Source() Source { return m.source }

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(x, y)
}

// sameDisk says whether a file is on the file system of a folder, or of where the
// folder will be made.
func sameDisk(file, dir string) bool {
	var a, b unix.Stat_t
	if unix.Stat(file, &a) != nil {
		return false
	}
	dir, err := filepath.Abs(dir)
	for err == nil && unix.Stat(dir, &b) != nil && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	return err == nil && a.Dev == b.Dev
}

func readMaster(s Source, path string) (*Master, error) {
	k, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read master key: %w: %s is missing (a new one: head -c 32 /dev/urandom > FILE)", ErrMaster, path)
	} else if err != nil {
		return nil, fmt.Errorf("read master key: %w", err)
	}
	return &Master{source: s, path: path, keys: []key{k}}, nil
}

// localMaster returns the key that lies in the data folder.
func localMaster(dir string) (*Master, error) {
	m := &Master{source: Local, path: filepath.Join(dir, localName)}
	for _, name := range []string{localName, nextName} {
		k, err := readKey(filepath.Join(dir, name))
		switch {
		case err == nil:
			m.keys = append(m.keys, k)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("read master key: %w", err)
		}
	}
	if len(m.keys) == 0 {
		m.keys, m.fresh = []key{newKey()}, true
	}
	return m, nil
}

// NextLocal returns the local key that a rotation leads to: a new one, or that of
// a rotation which was cut.
func NextLocal(dir string) (*Master, error) {
	m := &Master{source: Local, path: filepath.Join(dir, nextName)}
	k, err := readKey(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		k, err, m.fresh = newKey(), nil, true
	}
	if err != nil {
		return nil, fmt.Errorf("read next master key: %w", err)
	}
	m.keys = []key{k}
	return m, nil
}

func readKey(path string) (k key, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return k, err
	}
	if digits := bytes.TrimSpace(b); len(digits) == 2*keyLen {
		if raw, err := hex.DecodeString(string(digits)); err == nil {
			b = raw
		}
	}
	if len(b) != keyLen || key(b) == (key{}) {
		return k, fmt.Errorf("%w: %s is not a key of %d bytes", ErrMaster, path, keyLen)
	}
	return key(b), nil
}

// save writes a fresh local key to its file.
func (m *Master) save(d *disk) error {
	if !m.fresh {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(m.path), 0o700); err != nil {
		return err
	}
	draft := m.path + ".new"
	if err := d.draft(draft, m.keys[0][:]); err != nil {
		return err
	}
	if err := d.at("rename " + filepath.Base(draft)); err != nil {
		return err
	}
	// Another's key must not be lost.
	if err := unix.Renameat2(unix.AT_FDCWD, draft, unix.AT_FDCWD, m.path, unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("make %s: %w", m.path, err)
	}
	if err := d.syncDir(m.path); err != nil {
		return err
	}
	m.fresh = false
	return nil
}

// wrap returns what a keyring is wrapped with from now on.
func (m *Master) wrap() (header, key, error) {
	h := header{Source: m.source}
	k, err := key{}, error(nil)
	if m.ask == nil {
		k = m.keys[0]
	} else {
		salt := newKey()
		h.KDF = &kdf{Salt: salt[:saltLen], Time: argonTime, Memory: argonMemory, Lanes: argonLanes}
		k, err = m.derive(h.KDF, true)
	}
	h.Master = k.id()
	return h, k.extract(labelWrap), err
}

// unwrap opens the head of a keyring.
func (m *Master) unwrap(head []byte, h *header) (wrapping, file key, err error) {
	k, err := m.find(h)
	if err != nil {
		return wrapping, file, err
	}
	wrapping = k.extract(labelWrap)
	file, ok := unwrap(head, &wrapping)
	if !ok {
		return wrapping, file, errHead
	}
	return wrapping, file, nil
}

// find returns the master key that a keyring is wrapped with.
func (m *Master) find(h *header) (key, error) {
	keys := m.keys
	if m.ask != nil && h.KDF != nil {
		k, err := m.derive(h.KDF, false)
		if err != nil {
			return key{}, err
		}
		keys = []key{k}
	}
	for _, k := range keys {
		if k.id() == h.Master {
			return k, nil
		}
	}
	return key{}, m.mismatch(h)
}

// mismatch says why no key fits, and what to do.
func (m *Master) mismatch(h *header) error {
	switch {
	case m.source == Passphrase && h.Source == Passphrase:
		return fmt.Errorf("%w: the passphrase is another", ErrMaster)
	case m.fresh && h.Source == Local:
		return fmt.Errorf("%w: %s is missing; put it back", ErrMaster, m.path)
	case m.source != h.Source:
		return fmt.Errorf("%w: the keyring is wrapped with that of the source %s, and the source now is %s (the setting master-key, or --master-key, names the source; cypherface key rotate changes it)", ErrMaster, h.Source, m.source)
	}
	return fmt.Errorf("%w: the keyring is wrapped with the key %s, and that in %s is %s", ErrMaster, h.Master, m.path, m.keys[0].id())
}

// extract derives a key from one that may not be uniform.
func (k *key) extract(label string) (d key) {
	b, err := hkdf.Key(sha256.New, k[:], nil, label, keyLen)
	if err != nil {
		panic(err) // only for lengths beyond 255 hashes
	}
	copy(d[:], b)
	return d
}

// id tells keys apart without telling anything about them.
func (k *key) id() string {
	d := k.extract(labelMaster)
	return hex.EncodeToString(d[:8])
}

// Cost of a passphrase: the second choice of RFC 9106, section 4, for systems with
// little memory: 64 MiB, three passes, four lanes.
const (
	argonTime   = 3
	argonMemory = 64 << 10 // KiB
	argonLanes  = 4
	saltLen     = 16
	minPhrase   = 12 // characters
)

// kdf is how argon2id turns a passphrase into a key.
type kdf struct {
	Salt   []byte `json:"salt"`
	Time   uint32 `json:"time"`
	Memory uint32 `json:"memory"` // KiB
	Lanes  uint8  `json:"lanes"`
}

// valid keeps a doctored file from asking for more than a box has.
func (p *kdf) valid() bool {
	return len(p.Salt) == saltLen && p.Time >= 1 && p.Time <= 16 && p.Memory >= 8<<10 && p.Memory <= 1<<20 && p.Lanes >= 1 && p.Lanes <= 16
}

func (m *Master) derive(p *kdf, isNew bool) (key, error) {
	phrase, err := m.ask(isNew)
	if err != nil {
		return key{}, fmt.Errorf("ask for the passphrase: %w", err)
	}
	defer clear(phrase)
	if isNew && utf8.RuneCount(phrase) < minPhrase {
		return key{}, fmt.Errorf("%w: a passphrase has at least %d characters", ErrMaster, minPhrase)
	}
	return key(argon2.IDKey(phrase, p.Salt, p.Time, p.Memory, p.Lanes, keyLen)), nil
}
