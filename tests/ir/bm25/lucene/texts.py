"""Texts on which tokenizers differ, written for that; `goldens.jsonl` holds what Lucene makes of each."""

# Every rule of the stemmer, and words that escape it.
_STEMS = """
caresses ponies ties caress cats gas is us as yes news feed agreed bleed plastered bled motoring sing string
conflated troubled sized hopping tanned falling hissing fizzed failing filing happy sky cry say enjoy syzygy
relational conditional rational valenci hesitanci digitizer conformabli possibly ably bly radically differently vileli
analogously vietnamization predication operator feudalism decisiveness hopefulness callousness formaliti sensitiviti
sensibiliti geology biologi analogy triplicate formative formalize electriciti electrical hopeful goodness
revival allowance inference airliner gyroscopic adjustable defensible irritant replacement adjustment dependent
adoption decision homologous communism activate angulariti homologou effective bowdlerize onion ion station lesion
probate rate cease controll roll parallel oed inging eing yed y ye yyy dying lying eed need be bee
generalizations oscillators university universe organization organs python pythons queries indexing indices
"""

TEXTS = [
    "",
    " \t\r\n\v\f\u0085\u00a0\u2028\u3000",
    "The quick brown foxes were jumping over the lazy dogs, and they will not stop with that.",
    (
        "a an and are as at be but by for if in into is it no not of on or such that the their then there "
        "these they this"
    ),
    "to was will with were has have had do does from THE Their",
    *_STEMS.split("\n")[1:-1],
    # Possessives and apostrophes: straight, curly, fullwidth, modifier letter, quotes that are none
    "The dog's bone, the DOG'S bone, dogs' bones, James's book, it's, Boss's's",
    "The dog\u2019s bone, DOG\u2019S, dogs\u2019, James\u2019s, O\u2019Neil\u2019s, don\u2019t",
    "dog\uff07s DOG\uff07S don\uff07t dog\u02bcs dog\u2018s dog\u201bs dog`s dog\u00b4s dog\u2032s",
    (
        "'s ' 's' a's 's's is's the's 1's 2024's 's\u2019s \u2019s rock 'n' roll 'quoted' \u2018quoted\u2019 "
        "\u201cquoted\u201d"
    ),
    "I'll you'd we've they're can't O'Brien d'\u00e9t\u00e9 l'\u00e9cole aujourd\u2019hui qu\u2019est-ce",
    "dog'\u0301s dog\u00ad's dog's\u0301 dog\u200d\u2019s",
    # Numbers
    (
        "1,000.5 3.14 v1.2.3 1,000,000 1;2 1:2 10:30 1.000,50 -5 +7 1e-9 6.02e23 0x1F 50% $9.99 \u20ac5 1/2 "
        "\u00bd \u00b2 10\u00b2"
    ),
    (
        "1. 2, .5 ,5 1.,2 1'000 1\u2019000 1..2 1,a a,1 a.1 1.a 1a.b2 3rd 4th 1990s 80's 12-34 (1) #1 "
        "1\u202f000 1\u00a0000"
    ),
    (
        "\u0661\u0662\u066b\u0663 \u0967\u0968\u0969 \u0e51\u0e52 \uff11\uff12\uff0e\uff13 "
        "\uff21\uff22\uff43 \u2460 \u2162 \U0001d7ce\U0001d7cf 1\uff0c2"
    ),
    # Underscores and other connectors
    (
        "foo_bar __init__ _private trailing_ _ __ ___ a_.b a._b _1_ _a's 1_000 a_b_c\u203fd \u203f \uff3f "
        "x\uff3fy a_\u0301b _\u0301 ____x"
    ),
    # Code
    "def f(x: int) -> list[str]: return [str(i) for i in range(x)]  # O(n log n)",
    "std::vector<int> v; v.push_back(42); if (a != b && c->d) { obj.method().other(); } x += y--;",
    "C++ C# F# .NET node.js a.b.c e.g. i.e. U.S.A. Ph.D. key:value foo::bar a:b:c a;b a,b a.b,c",
    r"\frac{a}{b} $x^2 + y_1$ \alpha_{i,j} 2^{10} \begin{align} f'(x) = f''(y) \end{align}",
    "SELECT * FROM `users` WHERE name='O''Brien' AND id=@id; -- done",
    "np.array([1.0,2.5e-3]).reshape(-1,1) == torch.Size([2, 1]) camelCase HTTPServer2 snake_case kebab-case",
    # Links, addresses, paths
    "https://www.example.com:8080/path/to/page.html?q=1&r=two#frag http://a.b/c_d/ www.x.org ftp://u:p@h/",
    (
        "First.Last+tag@sub.example.co.uk mailto:x@y.co @handle #hashtag 192.168.0.1 ::1 fe80::1 "
        "C:\\Temp\\a.txt /usr/bin"
    ),
    # Letters beyond ASCII
    (
        "caf\u00e9 cafe\u0301 na\u00efve \u00c5ngstr\u00f6m \u212bngstr\u00f6m \u212a Stra\u00dfe STRASSE "
        "\u1e9e \ufb01sh \u01c4 \u01c5 \u00aa \u00ba \u00b5m \u03bcm"
    ),
    (
        "\u0130stanbul I\u0307stanbul \u0131\u015f\u0131k \u039f\u0394\u039f\u03a3 \u03bf\u03b4\u03cc\u03c2 "
        "\u03a3\u03a3 \u13a0 \uab70 \u10d0 \u1c90 \U00010400\U00010428"
    ),
    (
        "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0451\u0436 \u0401\u0416 \u0456\u0301 "
        "na\u00efvely r\u00e9sum\u00e9s caf\u00e9s \u00e9ing"
    ),
    (
        "x\u0302 x\u0300\u0301\u0302 \u0301x \u0301 a\u00adb a\u200bb a\u200cb a\u200db a\u2060b a\ufeffb "
        "\ufeffa a\u034fb \u00b8 a\u00b8b \u02d8 a\u02d8b"
    ),
    # Right to left, quotes inside Hebrew
    (
        "\u05e9\u05dc\u05d5\u05dd \u05e6\u05d4\"\u05dc \u05d2'\u05d9\u05e8\u05e3 \u05d2' "
        '\u05d0\u05f3\u05d1\u05f4\u05d2 "\u05d0" \u05d0"1 \u05e9\u05b8\u05dc\u05d5\u05b9\u05dd'
    ),
    (
        "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u060c \u0661\u066c\u0662 "
        "\u200fabc\u200e \u202babc\u202c \u0645\u064f\u062d\u064e\u0645\u0651\u064e\u062f \u06dd\u0661 "
        "\u0600\u0661"
    ),
    # Ideographs, kana, Hangul, mixed
    (
        "\u4f60\u597d\u4e16\u754c hello\u4f60\u597dworld \u4eba\u3005 \u3007\u4e8c \u3006 "
        "\U00020000\U0002a6d6 \u2f00 \u56db1\u4e94"
    ),
    (
        "\u3072\u3089\u304c\u306a \u30ab\u30bf\u30ab\u30ca \u30b3\u30fc\u30d2\u30fc \uff76\uff80\uff76\uff85 "
        "\u3072\u30ab_\u30bfa \u30ab_a \u30abA \u309b\u309c \u304c\u3099"
    ),
    "\u6771\u4eac\u30bf\u30ef\u30fc\u306b\u884c\u304d\u307e\u3057\u305f\u3002PC\u3092\u8cb7\u3046\u30012024\u5e74",
    "\ud55c\uad6d\uc5b4 \ud14d\uc2a4\ud2b8 \u1112\u1161\u11ab \u3131\u314f \ud55c\u56fd \ud55cA1 \uffa1",
    # Scripts without spaces
    (
        "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22 \u0e17\u0e35\u0e48\u0e19\u0e35\u0e48abc\u0e01 "
        "\u0e01\u0e31a \u0e31 a\u0e31 \u0e01.\u0e02 \u0e01\u0e01\u0e51\u0e52"
    ),
    (
        "\u0ea5\u0eb2\u0ea7 \u1019\u103c\u1014\u103a\u1019\u102c \u1781\u17d2\u1798\u17c2\u179a "
        "\u0939\u093f\u0928\u094d\u0926\u0940 \u0915\u094d\u200d\u0937 \u0ba4\u0bae\u0bbf\u0bb4\u0bcd "
        "\u0f56\u0f7c\u0f51\u0f0b"
    ),
    # Emoji: joined, coloured, flagged, key caps, tags, with and without a presentation selector
    (
        "\U0001f600 \U0001f600\U0001f600 ok\U0001f44d \U0001f44d\U0001f3fd "
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764 \u2764\ufe0f \u2764\ufe0e "
        "\u2764\ufe0f\u200d\U0001f525"
    ),
    (
        "\U0001f1e9\U0001f1ea \U0001f1e9\U0001f1ea\U0001f1eb \U0001f1e9 1\ufe0f\u20e3 1\u20e3 #\ufe0f\u20e3 "
        "*\u20e3 # \U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    ),
    (
        "\u00a9 \u00ae \u2122 2024\u00a9 \u24c2 \u24c2\ufe0f \u2139 \U0001f170\U0001f171 \u3030 \u303d "
        "\u2194 \u231a \U0001f3fd \U0001f3fda \u200d\u2764 a\u200d\u2764 \u24c2\u200d\u2764"
    ),
    (
        "\u00a9\u200d\u2122 \U0001f469\ufe0f\U0001f3fd \U0001f469\ufe0f\u200d\U0001f3fd "
        "\U0001f3fd\u200d\U0001f469 \U0001f600\u0301 \U0001f9d1\u200d\U0001f680 \U0001fae0 \u263a\ufe0f\ufe0f"
    ),
    # Not characters
    "a\0b \0 \ufffd a\ufffdb \uffff \U0010ffff \ue000 a\u0001b \x7f a\x1bb \ufff9a\ufffb",
    # The window of 255 code units
    "a" * 255 + " " + "b" * 256 + " " + "c" * 511,
    "x" * 254 + "'s " + "x" * 253 + "'s " + "running" * 60,
    "a." * 300 + "b",
    "1," * 300 + "2",
    "_" * 300 + "a",
    "_" * 254 + "a" + "_" * 300 + "b",
    "\U0001d41a" * 300,
    "a" + "\U0001d41a" * 300 + "s",
    "\u0301" * 300 + "a" + "\u0301" * 600 + "b",
    "\u0e01" * 600 + " \u30ab" + "\u30ab" * 600,
    "\U0001f468" + "\u200d\U0001f468" * 200,
    "http://example.com/" + "abc%20def_" * 80,
    "\u4f60" * 300,
    "\u24c2" * 260 + "\U0001d400\U0001d41as \U0001d41as \U0001d41aing",
]
