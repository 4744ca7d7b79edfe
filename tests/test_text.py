"""Text normalisers: what each makes equal, and what it leaves. Twenty languages, three sentences each."""

from __future__ import annotations

import unicodedata

import jiwer
import pytest

from bench.errors import UserError
from bench.language import unspaced
from bench.metrics._text import NORMALISERS, STANDARD, STANDARD_IS, legible, normaliser, spelling

ENGLISH = "Mr. Neil's colour TV cost twenty-one dollars, didn't it?"

# language -> (as a transcript may have it, as a recogniser may write it, errors, of so many words; characters where words stand unparted)
SENTENCES = {
    "en": [
        ("I won’t go; it’s Mr. Gray’s colour.", "I will not go it is mister Gray's color", 0, 10),
        ("The café wasn't naïve, was it?", "the cafe was not naive was it", 0, 7),
        ("Full width: ＡＢＣ １２３.", "full with abc 123", 1, 4),
    ],
    "de": [
        ("Grüße aus Köln!", "grüße aus köln", 0, 3),
        ("Wie geht’s dir, Fuß\u00adgänger?", "wie geht's dir fußgänger", 0, 5),
        ("Das Mädchen läuft über die Straße.", "das madchen läuft über straße", 2, 6),
    ],
    "fr": [
        ("L’eau n’est pas chère aujourd’hui.", "l'eau n'est pas chère aujourd'hui", 0, 8),
        ("Où est l'élève\u00a0? — Ici\u202f!", "où est l’élève ici", 0, 5),
        ("Ça va très bien, mon garçon.", "ca va bien mon garçon", 2, 6),
    ],
    "es": [
        ("¿Dónde está el niño?", "dónde está el niño", 0, 4),
        ("¡Mañana cantará el pingüino!", "mañana cantará el pingüino", 0, 4),
        ("El corazón del señor García", "el corazon del señor garcia", 2, 5),
    ],
    "it": [
        ("L’università è lì, perché no?", "l'università è lì perché no", 0, 6),
        ("C’è un po’ d’acqua.", "c'è un po' d'acqua", 0, 6),
        ("Più città, più virtù.", "più citta più virtù", 1, 4),
    ],
    "pt": [
        ("A pronúncia não é fácil, coração!", "a pronúncia não é fácil coração", 0, 6),
        ("Às três, os avós vêm.", "às três os avós vêm", 0, 5),
        ("Amanhã haverá pão e maçã.", "amanha haverá pão e massa", 2, 5),
    ],
    "pl": [
        ("Zażółć gęślą jaźń!", "zażółć gęślą jaźń", 0, 3),
        ("Łódź leży w środku Polski.", "łódź leży w środku polski", 0, 5),
        ("Cześć, jak się masz?", "czesc jak sie masz", 2, 4),
    ],
    "ru": [
        ("Это мой ёж, а не твой.", "это мой ёж а не твой", 0, 6),
        ("Йод и чай — в Москве!", "йод и чай в москве", 0, 5),
        ("Добрый день, товарищи.", "добрые дни товарищи", 2, 3),
    ],
    "uk": [
        ("П’ять хвилин об'єднання.", "пʼять хвилин об’єднання", 0, 5),
        ("Її їжак з Києва.", "її їжак з києва", 0, 4),
        ("Добрий день, друже!", "добрий ден друже", 1, 3),
    ],
    "el": [
        ("Καλημέρα, τι κάνεις;", "καλημέρα τι κάνεις", 0, 3),
        ("Το νησί είναι ωραίο.", "το νησί είναι ωραίο", 0, 4),
        ("Ο ήλιος λάμπει σήμερα.", "ο ηλιος λάμπει", 2, 4),
    ],
    "tr": [
        ("İstanbul’da IŞIK var.", "istanbulda ışık var", 0, 3),
        ("İyi günler, Iğdır'dan!", "iyi günler ığdırdan", 0, 3),
        ("İki küçük kedi DİYOR.", "iki kucuk kedi diyor", 1, 4),
    ],
    "hi": [
        ("हिन्दी में पढ़ना अच्छा है।", "हिन्दी में पढ\u093cना अच्छा है", 0, 5),
        ("क्या आप ठीक हैं? ज\u093cरूर, क\u094d\u200dष!", "क्या आप ठीक हैं ज\u093cरूर क\u094dष", 0, 6),
        ("वह २१ किताबें लाया।", "वह 21 किताबे लाया", 1, 4),
    ],
    "bn": [
        ("আমি বাংলায় গান গাই।", "আমি বাংলায\u09bc গান গাই", 0, 4),
        ("তোমার নাম কী? উৎসব!", "তোমার নাম কী উৎসব", 0, 4),
        ("সে কোথায় গেল।", "সে কোথায় গেলে", 1, 3),
    ],
    "ta": [
        ("வணக்கம், எப்படி இருக்கிறீர்கள்?", "வணக்கம் எப்படி இருக்கிறீர்கள்", 0, 3),
        ("நான் சென்னையில் வசிக்கிறேன்.", "நான் சென்னையில் வசிக்கிறேன்", 0, 3),
        ("தமிழ் இனிய மொழி.", "தமிழ் இனி மொழி", 1, 3),
    ],
    "ar": [
        ("السَّلَامُ عَلَيْكُمْ، كَيْفَ الحَالُ؟", "السلام عليكم كيف الحال", 0, 4),
        ("قرأتُ ٣ كُتُبٍ في المـــدرسة.\u200f", "قرأت 3 كتب في المدرسة", 0, 5),
        ("الولد في البيت الكبير", "الولد في بيت الكبيرة", 2, 4),
    ],
    "fa": [
        ("می\u200cخواهم به خانه بروم.", "میخواهم به خانه بروم", 0, 4),
        ("کتاب\u200cها کجاست؟", "کتابها کجاست", 0, 2),
        ("امروز هوا خوب است.", "امروز هوای خوب است", 1, 4),
    ],
    "he": [
        ("שָׁלוֹם עֲלֵיכֶם!", "שלום עליכם", 0, 2),
        ("צה\"ל, צה״ל וג'ירפה.", "צה״ל צה\"ל וג׳ירפה", 0, 3),
        ("הילד הלך הביתה", "הילדה הלך לבית", 2, 3),
    ],
    "th": [
        ("น้ำแข็งเย็นมาก", "น้ำแข็ง เย็น มาก", 0, 15),
        ("ผมชื่อสมชาย ครับ", "ผมชื่อสมชายครับ", 0, 15),
        ("วันนี้อากาศดี", "วันนีอากาศดี", 1, 13),
    ],
    "zh": [
        ("我是学生，你呢？", "我是学生你呢", 0, 6),
        ("他有ＡＢＣ。", "他有 abc", 0, 5),
        ("今天天气很好。", "今天天气真好", 1, 6),
    ],
    "ja": [
        ("これはﾍﾟﾝです。", "これはペンです", 0, 7),
        ("東京（とうきょう）へ行く！", "東京へ行く", 0, 5),
        ("ガラスを買った。", "カラスを買った", 1, 7),
    ],
    "ko": [
        ("안녕하세요, 반갑습니다!", "안녕하세요 반갑습니다", 0, 2),
        ("저는 서울에 살아요.", "저는 서울에 살아요", 0, 3),
        ("오늘 날씨가 좋네요.", "오늘 날씨는 좋네요", 1, 3),
    ],
    "vi": [
        ("Tiếng Việt có sáu thanh điệu.", "tiếng việt có sáu thanh điệu", 0, 6),
        ("Đường này đi đâu?", "đường này đi đâu", 0, 4),
        ("Tôi muốn uống nước.", "tôi muon uống nuoc", 2, 4),
    ],
    "yo": [
        ("Ẹ káàárọ̀, ṣé dáadáa ni?", "ẹ káàárọ\u0300 ṣé dáadáa ni", 0, 5),
        ("Mo fẹ́ràn ọ̀rẹ́ mi.", "mo fẹ\u0301ràn ọ\u0300rẹ\u0301 mi", 0, 4),
        ("Ó lọ sí ọjà.", "ó lọ si ọjà", 1, 4),
    ],
}  # fmt: skip
CASES = [pytest.param(tag, *case, id=f"{tag}-{number}") for tag, cases in SENTENCES.items() for number, case in enumerate(cases, start=1)]
UNHEARD = {
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "composed": lambda text: unicodedata.normalize("NFC", text),
    "apostrophe typed": lambda text: text.replace("’", "'"),
    "apostrophe set": lambda text: text.replace("'", "’"),
    "apostrophe as a letter": lambda text: text.replace("'", "\u02bc"),
    "soft hyphens": lambda text: _between(text, "\u00ad"),
    "joiners": lambda text: _between(text, "\u200d"),
    "non-joiners": lambda text: _between(text, "\u200c"),
    "zero width": lambda text: _between(text, "\u2060"),
    "directions": lambda text: "\u200f\u202b" + text.replace(" ", "\u200e \u200f") + "\u202c\u061c",
    "byte order mark": lambda text: "\ufeff" + text + "\ufeff",
    "full width": lambda text: "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in text),
    "wide space": lambda text: text.replace(" ", "\u3000"),
    "no-break space": lambda text: text.replace(" ", "\u00a0"),
    "lines": lambda text: text.replace(" ", "\u2028", 1).replace(" ", "\u0085", 1).replace(" ", "\r\n") + "\u2029",
    "variation selector": lambda text: text + "\ufe0f",
    "controls": lambda text: "\0" + text + "\x1b",
}


def _between(text: str, sign: str) -> str:
    """`sign` between all letters of words."""
    return "".join(
        f"{each}{sign}" if each.isalpha() and after.isalpha() else each for each, after in zip(text, text[1:] + " ", strict=True)
    )


def counted(language: str, text: str, heard: str, name: str = STANDARD) -> tuple[int, int]:
    """Errors, and how many words (or characters) the text has."""
    normalise = normaliser(name, language)
    found: jiwer.CharacterOutput | jiwer.WordOutput
    if unspaced(language):
        found = jiwer.process_characters(spelling(normalise(text), language), spelling(normalise(heard), language))
    else:
        found = jiwer.process_words(normalise(text), normalise(heard))
    wrong = found.substitutions + found.deletions
    return wrong + found.insertions, found.hits + wrong


def test_the_table_has_twenty_languages_of_three_sentences():
    assert len(SENTENCES) >= 20
    assert {len(cases) for cases in SENTENCES.values()} == {3}


@pytest.mark.parametrize(("language", "text", "heard", "errors", "words"), CASES)
def test_errors_are_counted_in_every_language(language, text, heard, errors, words):
    assert counted(language, text, heard) == (errors, words)


@pytest.mark.parametrize(("language", "text", "heard", "errors", "words"), CASES)
def test_what_nobody_hears_is_no_error_in_any_language(language, text, heard, errors, words):
    for what, change in UNHEARD.items():
        assert counted(language, text, change(text)) == (0, words), what
        assert counted(language, change(text), text) == (0, words), what
        assert counted(language, change(text), heard) == (errors, words), what


@pytest.mark.parametrize("name", NORMALISERS)
@pytest.mark.parametrize("language", SENTENCES)
def test_what_nobody_hears_is_no_error_under_any_normaliser(name, language):
    text = SENTENCES[language][0][0]
    for what, change in UNHEARD.items():
        assert counted(language, text, change(text), name)[0] == 0, what


@pytest.mark.parametrize("name", [STANDARD, "unicode", "lower"])
@pytest.mark.parametrize("language", SENTENCES)
def test_normalising_a_sentence_twice_changes_nothing(name, language):
    normalise = normaliser(name, language)
    for text, _, _, _ in SENTENCES[language]:
        assert normalise(normalise(text)).split() == normalise(text).split()


@pytest.mark.parametrize("language", ["hi", "bn", "ta", "th", "ar", "he", "fa", "tr", "yo"])
def test_whispers_normaliser_takes_these_languages_words_apart_and_the_standard_one_does_not(language):
    text = " ".join(case[0] for case in SENTENCES[language])
    plain = len(normaliser("lower", language)(text).split())
    assert len(normaliser("whisper", language)(text).split()) > plain or language == "fa"
    assert len(normaliser(STANDARD, language)(text).split()) <= plain


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "it", "pt", "pl", "ru", "uk", "el", "zh", "ja", "ko", "vi"])
def test_the_published_normalisers_stay_where_they_serve(language):
    from whisper_normalizer.basic import BasicTextNormalizer
    from whisper_normalizer.english import EnglishTextNormalizer

    published = EnglishTextNormalizer() if language == "en" else BasicTextNormalizer(split_letters=language in ("zh", "ja"))
    for text, heard, _, _ in SENTENCES[language]:
        for each in (text, heard):
            plain = legible(each)
            assert normaliser(STANDARD, language)(each) == normaliser("whisper", language)(each) == published(plain)
            assert plain == each or not (each.isascii() and each.isprintable())


def test_text_of_printable_ascii_reaches_a_normaliser_as_it_stands():
    text = " ".join(bytes([code]).decode() for code in range(33, 127))
    assert legible(text) == text


def test_the_standard_normaliser_has_a_name_and_a_version():
    assert STANDARD_IS.startswith("standard 1 ")
    assert "unicode 1" in STANDARD_IS


@pytest.mark.parametrize(
    ("name", "language", "text", "expected"),
    [
        ("whisper", "en", ENGLISH, "mister neil is color tv cost $21 did not it"),
        ("whisper_english", "de", "colour", "color"),
        ("whisper", "de", "Grüße, aus Köln!", "grüße aus köln"),
        ("whisper_basic", "en", "I'll go [laughs] now.", "i ll go now"),
        ("whisper", "zh", "我是学生。", "我 是 学 生"),
        ("whisper", "", "Hello, there", "hello there"),
        ("unicode", "hi", "नमस्ते, दुनिया!", "नमस्ते दुनिया"),
        ("unicode", "tr", "İI", "iı"),
        ("unicode", "en", "İI [laughs] (so)", "ii"),
        ("lower", "en", "It's 5 PM.", "it's 5 pm."),
        ("none", "en", "It's 5 PM.", "It's 5 PM."),
    ],
)
def test_normaliser(name, language, text, expected):
    assert " ".join(normaliser(name, language)(text).split()) == expected


@pytest.mark.parametrize("name", NORMALISERS)
@pytest.mark.parametrize("language", ["en", "de", "ja", ""])
def test_normalising_twice_changes_nothing(name, language):
    once = normaliser(name, language)("The Colour of 3 cats, Zoë's!")
    assert normaliser(name, language)(once).split() == once.split()


@pytest.mark.parametrize("name", NORMALISERS)
@pytest.mark.parametrize(
    "text", ["", "\0", "\ud800", "\U0010ffff", "\u0301", "a" * 100_000, "\u0e33" * 1000, "ﷺ", "½ № ™", "\u2028\u0085\r\n"], ids=ascii
)
def test_no_text_breaks_a_normaliser(name, text):
    for language in ("en", "hi", "th", "zh", ""):
        spelling(normaliser(name, language)(text[:1000]), language).encode()


def test_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'whisper_basic'"):
        normaliser("wisper_basic", "en")


def test_spelling():
    assert spelling(" two  words ", "en") == "two words"
    assert spelling("我 是 学 生", "zh") == "我是学生"
