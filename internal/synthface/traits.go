package synthface

import (
	"math"
	"math/rand/v2"
)

// hairstyle is the cut of the hair.
type hairstyle int

const (
	shaved hairstyle = iota
	cropped
	parted
	swept
	bob
	long
	curly
	bun
	scarf
)

// traits are the numbers of one person. Lengths are in cm in head space: the
// origin between the ears at the height of the eyes, +x the subject's left.
type traits struct {
	seed int32

	// Skull and face.
	width, jawW, chinY, chinZ, chinW, cheek, cheekBone, skullH, neckR float64
	ear, earOut                                                       float64

	// Eyes, in radii of the eyeball from eyeOpen to lidFold, and brows.
	eyeX, eyeR, eyeDeep, eyeTilt, eyeOpen, eyeW, lidFold float64
	browY, browT, browTilt, browArch, browDark, ridge    float64
	noseY, noseW, noseTip, noseBridge, noseZ, noseHump   float64
	tipUp                                                float64
	mouthW, mouthY, lipU, lipL                           float64

	// Hair. The beard is 0 for none to 1 for full.
	style                                           hairstyle
	hairT, hairLine, recede, slant, hairLen, fringe float64
	beard                                           float64
	beardCut                                        beardCut

	// Skin.
	age, ruddy, freckles, makeUp float64
	mole                         vec // x, y and radius; none where that is 0
	grain                        vec // where this person's noise begins

	// Linear RGB.
	skin, hair, iris, lip, shadow, cloth, cloth2, glassC vec

	build   float64 // breadth of the shoulders, 1 is broad
	pattern pattern
	glasses glasses
	glassR  float64

	// Derived.
	eye, noseRoot, nosePeak vec
	eyeSin, eyeCos          float64
}

// beardCut is where a beard is left standing.
type beardCut int

const (
	fullBeard beardCut = iota
	moustache
	goatee
	stubble
)

// pattern is what the clothes look like.
type pattern int

const (
	plain pattern = iota
	stripes
	shirt
	hood
)

// glasses is the form of the lenses.
type glasses int

const (
	noGlasses glasses = iota
	roundGlasses
	squareGlasses
)

// dice are a source of identity numbers.
type dice struct{ *rand.Rand }

// near is a normal deviate, cut off before it makes a caricature.
func (r dice) near(mean, sigma float64) float64 {
	return mean + 1.55*sigma*clamp(r.NormFloat64(), -1.7, 1.7)
}

func (r dice) within(mean, sigma, lo, hi float64) float64 { return clamp(r.near(mean, sigma), lo, hi) }
func (r dice) chance(p float64) bool                      { return r.Float64() < p }
func pick[T any](r dice, of ...T) T                       { return of[r.IntN(len(of))] }

// newTraits draws a person. The order of the draws is part of who a seed is:
// what is added later is to be drawn last, or the cast changes its faces.
func newTraits(seed int64) *traits {
	r := dice{rand.New(rand.NewPCG(uint64(seed), 0x73796e746866))}
	t := &traits{seed: int32(seed)}
	// soft runs from angular (0) to soft (1) and ties together what goes
	// together in people: jaw, brow, lips, hair and beard.
	soft := clamp(.5+.5*r.NormFloat64(), 0, 1)
	t.age = clamp(math.Abs(r.near(.25, .3)), 0, 1)
	// Features and colours that come together in the peoples of the world: how
	// dark the skin is, and whether the eyes have a fold.
	dark, fold := r.Float64(), 0.0
	if r.chance(.25) {
		fold, dark = .5+.5*r.Float64(), .15+.35*dark
	}
	t.drawFace(r, soft)
	t.drawEyes(r, soft, fold)
	t.drawNoseAndMouth(r, soft, max(0, dark-.35)/.65, fold)
	t.drawColours(r, dark, fold)
	t.drawHair(r, soft, dark, fold)
	t.drawWardrobe(r, soft)
	t.derive()
	return t
}

// The means below were found by looking, the spreads are about those of people
// and half as much again: networks tell drawn faces apart less well.
func (t *traits) drawFace(r dice, soft float64) {
	t.width = r.near(1-.03*soft, .065)
	t.jawW = r.near(4.8-.75*soft, .36)
	t.chinY = r.near(-11.1+.6*soft, .75)
	t.chinZ = r.near(7.4, .4)
	t.chinW = r.within(2-.5*soft, .4, 1, 3)
	t.cheek = r.near(.1*soft, .32)
	t.cheekBone = r.within(1.9, .25, 1.3, 2.6)
	t.skullH = r.near(8.8, .3)
	t.neckR = r.within(5.3-.8*soft, .2, 4.2, 6)
	t.ear = r.near(1-.08*soft, .1)
	t.earOut = r.near(.15, .12)
}

func (t *traits) drawEyes(r dice, soft, fold float64) {
	t.eyeX = r.within(3.2, .2, 2.75, 3.8)
	t.eyeR = r.within(1.36+.04*soft, .08, 1.18, 1.6)
	t.eyeOpen = r.within(.42+.04*soft-.06*t.age-.13*fold, .06, .22, .56)
	t.eyeTilt = r.near(.05+.06*fold, .055)
	t.eyeDeep = r.near(.1, .2)
	t.eyeW = r.near(.98, .045)
	t.lidFold = r.within(.3-.22*fold, .1, .04, .5)
	t.browY = r.near(1.8+.1*soft+.25*fold, .26)
	t.browT = r.within(.44-.18*soft, .15, .14, .85)
	t.browTilt = r.near(.13, .08)
	t.browArch = r.near(.2+.15*soft, .13)
	t.browDark = r.within(.8, .12, .4, .95)
	t.ridge = r.within(.95-.4*soft-.3*fold, .2, .25, 1.4)
}

func (t *traits) drawNoseAndMouth(r dice, soft, broad, fold float64) {
	t.noseY = r.within(-3.9+.15*soft+.2*fold, .42, -5.4, -2.9)
	t.noseW = r.within(1.25-.15*soft+.45*broad+.15*fold, .18, .8, 1.75)
	t.noseTip = r.within(.92-.08*soft, .13, .62, 1.3)
	t.noseBridge = r.within(.58-.06*soft+.16*broad+.1*fold, .1, .4, .95)
	t.noseZ = r.within(10.6-.15*soft-.35*broad-.45*fold, .33, 9.7, 11.5)
	t.noseHump = r.near(.1-.1*soft, .2)
	t.tipUp = r.within(.1*soft, .22, -.5, .6)
	t.mouthW = r.near(2.5, .3)
	t.lipU = r.within(.31+.1*soft+.2*broad, .1, .15, .8)
	t.lipL = r.within(.43+.1*soft+.22*broad, .11, .22, .95)
	t.mouthY = min(r.near(-6.9, .28), t.noseY-2.2-max(0, t.tipUp)*.7)
	t.chinY = clamp(min(t.chinY, t.mouthY-3), -12.8, -9)
}

// drawColours picks skin, hair and eyes that occur together, in linear RGB.
func (t *traits) drawColours(r dice, dark, fold float64) {
	light, tan, deep := vec{.76, .52, .395}, vec{.60, .365, .24}, vec{.19, .095, .055}
	t.skin = light.lerp(tan, clamp(dark*2, 0, 1)).lerp(deep, clamp(dark*1.7-.7, 0, 1))
	t.skin = t.skin.times(vec{r.near(1, .03), r.near(1, .035), r.near(1, .06)})
	hairs := []vec{{.016, .012, .010}, {.035, .02, .013}, {.085, .045, .022}, {.20, .115, .05}, {.42, .28, .13}, {.24, .075, .025}}
	irises := []vec{{.06, .03, .015}, {.11, .055, .022}, {.09, .16, .27}, {.12, .17, .085}, {.18, .21, .23}}
	if dark > .5 || fold > 0 {
		hairs, irises = hairs[:2], irises[:2]
	}
	t.hair, t.iris = pick(r, hairs...), pick(r, irises...)
	if t.age > .5 {
		t.hair = t.hair.lerp(vec{.42, .42, .43}, smooth(.45, .85, t.age)*r.Float64())
	}
	t.ruddy = r.within(.4, .2, 0, 1)
	if dark < .35 && r.chance(.3) {
		t.freckles = .4 + .6*r.Float64()
	}
	if r.chance(.5) {
		t.mole = vec{r.near(0, 3), -5 + 8*r.Float64(), .10 + .08*r.Float64()}
	}
	t.grain = vec{r.Float64() * 100, r.Float64() * 100, r.Float64() * 100}
}

// drawHair picks a cut that goes with the face, and a beard.
func (t *traits) drawHair(r dice, soft, dark, fold float64) {
	switch {
	case dark > .6 && r.chance(.5):
		t.style = pick(r, cropped, curly, curly)
	case fold > 0:
		t.style = pick(r, parted, swept, bob, long, bun, cropped)
	case soft < .45:
		t.style = pick(r, shaved, cropped, cropped, parted, parted, swept, curly)
	case soft < .6:
		t.style = pick(r, cropped, parted, swept, curly, bun, long)
	default:
		t.style = pick(r, bob, bob, long, long, bun, curly, swept, scarf)
	}
	t.hairT = map[hairstyle]float64{cropped: .5, parted: 1.1, swept: 1.5, bob: 1.2, long: 1, curly: 2, bun: .55, scarf: .8}[t.style] * r.within(1, .15, .7, 1.4)
	t.hairLine = r.within(6.3, .5, 5.2, 7.4)
	t.recede = r.within(.25-.35*soft+.5*t.age*(1-soft), .22, -.3, 1.1)
	t.slant = r.near(0, .16)
	t.hairLen = r.within(-14, 3, -20, -9)
	if (t.style == bob || t.style == long) && r.chance(.35) {
		t.fringe = r.within(3.5, .3, 3, 4.2)
	}
	if soft < .5 && t.style < bob && r.chance(.55) {
		t.beard, t.beardCut = .5+.5*r.Float64(), beardCut(r.IntN(4))
	}
}

// drawWardrobe adds make-up, clothes and glasses.
func (t *traits) drawWardrobe(r dice, soft float64) {
	t.build = 1 - .13*soft
	tint := vec{.92, .62, .60}
	if soft > .6 && r.chance(.6) {
		t.makeUp = .3 + .6*r.Float64()
		tint = tint.lerp(pick(r, vec{.95, .25, .30}, vec{.85, .35, .42}, vec{1, .42, .40}), t.makeUp)
		t.shadow = pick(r, vec{.25, .14, .12}, vec{.2, .13, .22}, vec{.13, .12, .14})
	}
	t.lip = t.skin.times(tint)
	palette := []vec{{.03, .06, .14}, {.30, .32, .34}, {.36, .05, .06}, {.03, .16, .12}, {.55, .50, .42}, {.02, .02, .025}, {.10, .20, .36}, {.42, .22, .04}, {.22, .08, .22}, {.62, .62, .62}, {.05, .22, .26}}
	i := r.IntN(len(palette))
	t.cloth, t.cloth2 = palette[i], palette[(i+1+r.IntN(len(palette)-1))%len(palette)]
	t.pattern = pattern(r.IntN(4))
	if r.chance(.25 + .2*t.age) {
		t.glasses = pick(r, roundGlasses, squareGlasses)
	}
	t.glassR = r.within(2.35, .15, 2.1, 2.7)
	t.glassC = pick(r, vec{.012, .012, .014}, vec{.10, .04, .02}, vec{.02, .03, .08}, vec{.35, .32, .28})
}

// derive works out what the fields ask for again and again.
func (t *traits) derive() {
	t.eye = vec{t.eyeX, 0, 7.05 - t.eyeDeep}
	t.nosePeak = vec{0, t.noseY, t.noseZ}
	t.noseRoot = vec{0, .9, 7.95 + t.ridge*.45}
	t.eyeSin, t.eyeCos = math.Sincos(t.eyeTilt)
}

// inEye gives p, already mirrored to x ≥ 0, in the axes of the eye: outwards,
// up, forwards, in cm from the centre of the eyeball.
func (t *traits) inEye(p vec) vec {
	q := p.sub(t.eye)
	return vec{q.X*t.eyeCos + q.Y*t.eyeSin, -q.X*t.eyeSin + q.Y*t.eyeCos, q.Z}
}
