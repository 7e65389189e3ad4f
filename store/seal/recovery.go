package seal

import (
	"bytes"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cypherface/edge/store"
)

// ErrRecovery says that a recovery key is missing, mistyped or another than was
// asked for.
var ErrRecovery = errors.New("no recovery key that fits")

// A RecoveryKey opens what leaves the box: the keyring in a backup. It is a seed of
// 32 bytes that a person keeps offline, on paper or in a file; the box has its
// public half only. The key encapsulation is MLKEM768-X25519 (X-Wing): who records
// backups today cannot read them with a quantum computer later.
type RecoveryKey struct {
	seed    key
	private hpke.PrivateKey
}

// NewRecoveryKey makes a recovery key.
func NewRecoveryKey() *RecoveryKey {
	k, err := recoveryOf(newKey())
	if err != nil {
		panic(err) // any seed of this length is a key
	}
	return k
}

func recoveryOf(seed key) (*RecoveryKey, error) {
	private, err := hpke.MLKEM768X25519().NewPrivateKey(seed[:])
	return &RecoveryKey{seed, private}, err
}

// String names the key and does not tell it: it may come into a log.
func (k *RecoveryKey) String() string { return "recovery key " + k.Public().Fingerprint() }

// Public returns the half that a box keeps.
func (k *RecoveryKey) Public() *Recovery { return &Recovery{k.private.PublicKey()} }

// author is a secret that holders of the key and boxes that were given it share:
// what is sealed to a public key could come from anybody otherwise.
func (k *RecoveryKey) author() key { return k.seed.derive(labelAuthor) }

// The text of a recovery key is a prefix and eight groups of eight characters, in
// the alphabet of D. Crockford, which has no letters that look like others. Seven
// characters of a group are data, 35 bits, and the last checks the group and its
// place; together they are the seed and 24 bits that check the whole.
const (
	textPrefix = "CFR1"
	textFamily = "CFR"
	groups     = 8
	groupData  = 7
	sumLen     = 3
)

var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// Text returns the key as a person keeps it.
func (k *RecoveryKey) Text() string {
	data := crockford.EncodeToString(append(k.seed[:], seedSum(&k.seed)...))
	var b strings.Builder
	b.WriteString(textPrefix)
	for i := range groups {
		group := data[i*groupData : (i+1)*groupData]
		b.WriteString("-" + group + groupCheck(i, group))
	}
	return b.String()
}

func seedSum(seed *key) []byte {
	sum := sha256.Sum256(append([]byte("cypherface recovery sum 1:"), seed[:]...))
	return sum[:sumLen]
}

func groupCheck(i int, group string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "cypherface recovery group 1:%d:%s", i, group))
	return crockford.EncodeToString(sum[:1])[:1]
}

// ParseRecoveryKey reads the text of a key, as it was typed or as it lies in a
// file: small letters, spaces, missing hyphens and lines that begin with # do no
// harm, O is read as 0, I and L as 1. The error says which group is wrong, and
// never what stands there.
func ParseRecoveryKey(text []byte) (*RecoveryKey, error) {
	words, err := recoveryWords(text)
	if err != nil {
		return nil, err
	}
	joined := strings.Join(words, "")
	if n := len(joined); n != groups*(groupData+1) {
		for i, w := range words {
			if len(words) == groups && len(w) != groupData+1 {
				return nil, fmt.Errorf("%w: group %d of %d has %d characters, not %d", ErrRecovery, i+1, groups, len(w), groupData+1)
			}
		}
		return nil, fmt.Errorf("%w: it has %d characters after %s, not %d", ErrRecovery, n, textPrefix, groups*(groupData+1))
	}
	var data strings.Builder
	for i := range groups {
		group := joined[i*(groupData+1) : (i+1)*(groupData+1)]
		if groupCheck(i, group[:groupData]) != group[groupData:] {
			return nil, fmt.Errorf("%w: group %d of %d is mistyped", ErrRecovery, i+1, groups)
		}
		data.WriteString(group[:groupData])
	}
	b, err := crockford.DecodeString(data.String())
	if err != nil || len(b) != keyLen+sumLen {
		return nil, fmt.Errorf("%w: a character is none of its alphabet", ErrRecovery)
	}
	seed := key(b[:keyLen])
	if !bytes.Equal(seedSum(&seed), b[keyLen:]) {
		return nil, fmt.Errorf("%w: it is mistyped in more than one place", ErrRecovery)
	}
	return recoveryOf(seed)
}

// maxText is far more than a file with a key has.
const maxText = 64 << 10

var lookAlikes = strings.NewReplacer("O", "0", "I", "1", "L", "1")

// recoveryWords returns the groups after the prefix, as far as they are apart.
func recoveryWords(text []byte) ([]string, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("%w: %d bytes are no recovery key", ErrRecovery, len(text))
	}
	var words []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
			words = append(words, strings.FieldsFunc(strings.ToUpper(line), func(r rune) bool { return r == '-' || r == ' ' || r == '\t' })...)
		}
	}
	if len(words) == 0 || !strings.HasPrefix(words[0], textFamily) {
		return nil, fmt.Errorf("%w: a recovery key begins with %s", ErrRecovery, textPrefix)
	}
	rest, ok := strings.CutPrefix(words[0], textPrefix)
	if !ok {
		return nil, fmt.Errorf("%w: %w: a recovery key of another kind than %s", ErrRecovery, store.ErrNewer, textPrefix)
	}
	if words = words[1:]; rest != "" {
		words = append([]string{rest}, words...)
	}
	for i := range words {
		words[i] = lookAlikes.Replace(words[i])
	}
	return words, nil
}

// Recovery is the public half of a recovery key.
type Recovery struct{ public hpke.PublicKey }

// Fingerprint names the key: half of the SHA-256 of its public half, in groups.
func (p *Recovery) Fingerprint() string {
	tag := p.tag()
	digits := hex.EncodeToString(tag[:])
	var parts []string
	for ; digits != ""; digits = digits[4:] {
		parts = append(parts, digits[:4])
	}
	return strings.Join(parts, "-")
}

func (p *Recovery) tag() (t [16]byte) {
	sum := sha256.Sum256(p.public.Bytes())
	copy(t[:], sum[:])
	return t
}

const (
	recoveryName   = "recovery.pub"
	recoveryFamily = "cypherface recovery "
	recoveryMagic  = recoveryFamily + "1"
)

// RecoveryPath is where the public half lies below the data directory, for all
// environments.
func RecoveryPath(dir string) string { return filepath.Join(dir, recoveryName) }

// ReadRecovery reads the public half that a box keeps. The error is fs.ErrNotExist
// where it has none.
func ReadRecovery(dir string) (*Recovery, error) {
	b, err := os.ReadFile(RecoveryPath(dir))
	if err != nil {
		return nil, err
	}
	p, err := parseRecovery(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w (cypherface key recovery new --replace makes a new one)", RecoveryPath(dir), err)
	}
	return p, nil
}

// format makes the file: what it is, its fingerprint, and the key in base64. The
// fingerprint keeps a damaged file from being sealed to: nobody could open that.
func (p *Recovery) format() []byte {
	b := fmt.Appendf(nil, "%s\n%s\n", recoveryMagic, p.Fingerprint())
	for rest := base64.StdEncoding.EncodeToString(p.public.Bytes()); rest != ""; {
		n := min(76, len(rest))
		b, rest = append(append(b, rest[:n]...), '\n'), rest[n:]
	}
	return b
}

func parseRecovery(b []byte) (*Recovery, error) {
	head, rest, _ := strings.Cut(string(b), "\n")
	fingerprint, body, _ := strings.Cut(rest, "\n")
	if strings.HasPrefix(head, recoveryFamily) && head != recoveryMagic {
		return nil, fmt.Errorf("%w: %q", store.ErrNewer, head)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(body, "\n", ""))
	if head != recoveryMagic || err != nil {
		return nil, fmt.Errorf("%w: not a recovery key", store.ErrDamaged)
	}
	public, err := hpke.MLKEM768X25519().NewPublicKey(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", store.ErrDamaged, err)
	}
	p := &Recovery{public}
	if p.Fingerprint() != fingerprint {
		return nil, fmt.Errorf("%w: the key does not have its fingerprint", store.ErrDamaged)
	}
	return p, nil
}

// SetRecovery makes k the recovery key of a box: its public half comes into the
// data folder, and the keyrings there, which m opens, learn which it is, so that
// nobody can slip in his own. The caller has the key in safety before, and sees to
// it that nobody has the keyrings open. Doing it again completes what was cut;
// until then no backup is sealed to a key that only a part knows of. The error is
// fs.ErrNotExist where there is no keyring yet.
func SetRecovery(dir string, m *Master, k *RecoveryKey) error {
	return setRecovery(dir, m, k, disk{})
}

func setRecovery(dir string, m *Master, k *RecoveryKey, d disk) error {
	rings, err := openAll(dir, m, m, d)
	if err == nil && len(rings) == 0 {
		err = fmt.Errorf("no keyring in %s: %w", dir, fs.ErrNotExist)
	}
	if err == nil {
		err = d.replace(RecoveryPath(dir), k.Public().format())
	}
	for i := 0; err == nil && i < len(rings); i++ {
		err = rings[i].learn(&recoverySecret{k.Public().tag(), k.author()})
	}
	if err != nil {
		return fmt.Errorf("set recovery key: %w", err)
	}
	return nil
}

// recoverySecret is what a keyring knows of the recovery key.
type recoverySecret struct {
	tag    [16]byte // of its public half
	author key
}

func (r *Ring) learn(s *recoverySecret) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	r.mu.Lock()
	r.recovery = s
	r.mu.Unlock()
	return r.rewrite()
}

// inherit lets a keyring that begins know what that of another environment of the
// box knows of the recovery key.
func (r *Ring) inherit() {
	dir := filepath.Dir(filepath.Dir(r.path))
	for _, env := range []store.Environment{store.Sandbox, store.Production} {
		b, err := os.ReadFile(Path(dir, env))
		if err != nil {
			continue
		}
		if c, err := r.parse(b); err == nil {
			for _, s := range c.slots {
				if s.kind == recoverySlot {
					r.recovery = &recoverySecret{s.tag, s.key}
				}
			}
		}
	}
}
