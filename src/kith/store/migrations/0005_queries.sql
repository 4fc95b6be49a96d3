-- What the query language needs. The rules of 0001 hold: see there.

-- Lower-case, letter by letter, by the one table that the program has too: İ alone becomes two characters, and the
-- letters of ASCII are not in the table. Without STRICT, so that the planner can write it into the statement.
CREATE FUNCTION kith_lower(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN octet_length(value) = length(value) THEN lower(value COLLATE "C")
    ELSE translate(replace(lower(value COLLATE "C"), U&'\0130', U&'i\0307'),
      'ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞĀĂĄĆĈĊČĎĐĒĔĖĘĚĜĞĠĢĤĦĨĪĬĮĲĴĶĹĻĽĿŁŃŅŇŊŌŎŐŒŔŖŘŚŜŞŠŢŤŦŨŪŬŮŰŲŴŶŸŹŻŽƁƂƄƆƇƉƊƋƎƏƐƑƓƔƖƗƘƜƝƟƠƢƤƦƧƩƬƮƯƱƲƳƵƷƸƼǄǅǇǈǊǋǍǏǑǓǕǗǙǛǞǠǢǤǦǨǪǬǮǱǲǴǶǷǸǺǼǾȀȂȄȆȈȊȌȎȐȒȔȖȘȚȜȞȠȢȤȦȨȪȬȮȰȲȺȻȽȾɁɃɄɅɆɈɊɌɎͰͲͶͿΆΈΉΊΌΎΏΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩΪΫϏϘϚϜϞϠϢϤϦϨϪϬϮϴϷϹϺϽϾϿЀЁЂЃЄЅІЇЈЉЊЋЌЍЎЏАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯѠѢѤѦѨѪѬѮѰѲѴѶѸѺѼѾҀҊҌҎҐҒҔҖҘҚҜҞҠҢҤҦҨҪҬҮҰҲҴҶҸҺҼҾӀӁӃӅӇӉӋӍӐӒӔӖӘӚӜӞӠӢӤӦӨӪӬӮӰӲӴӶӸӺӼӾԀԂԄԆԈԊԌԎԐԒԔԖԘԚԜԞԠԢԤԦԨԪԬԮԱԲԳԴԵԶԷԸԹԺԻԼԽԾԿՀՁՂՃՄՅՆՇՈՉՊՋՌՍՎՏՐՑՒՓՔՕՖႠႡႢႣႤႥႦႧႨႩႪႫႬႭႮႯႰႱႲႳႴႵႶႷႸႹႺႻႼႽႾႿჀჁჂჃჄჅჇჍᎠᎡᎢᎣᎤᎥᎦᎧᎨᎩᎪᎫᎬᎭᎮᎯᎰᎱᎲᎳᎴᎵᎶᎷᎸᎹᎺᎻᎼᎽᎾᎿᏀᏁᏂᏃᏄᏅᏆᏇᏈᏉᏊᏋᏌᏍᏎᏏᏐᏑᏒᏓᏔᏕᏖᏗᏘᏙᏚᏛᏜᏝᏞᏟᏠᏡᏢᏣᏤᏥᏦᏧᏨᏩᏪᏫᏬᏭᏮᏯᏰᏱᏲᏳᏴᏵᲐᲑᲒᲓᲔᲕᲖᲗᲘᲙᲚᲛᲜᲝᲞᲟᲠᲡᲢᲣᲤᲥᲦᲧᲨᲩᲪᲫᲬᲭᲮᲯᲰᲱᲲᲳᲴᲵᲶᲷᲸᲹᲺᲽᲾᲿḀḂḄḆḈḊḌḎḐḒḔḖḘḚḜḞḠḢḤḦḨḪḬḮḰḲḴḶḸḺḼḾṀṂṄṆṈṊṌṎṐṒṔṖṘṚṜṞṠṢṤṦṨṪṬṮṰṲṴṶṸṺṼṾẀẂẄẆẈẊẌẎẐẒẔẞẠẢẤẦẨẪẬẮẰẲẴẶẸẺẼẾỀỂỄỆỈỊỌỎỐỒỔỖỘỚỜỞỠỢỤỦỨỪỬỮỰỲỴỶỸỺỼỾἈἉἊἋἌἍἎἏἘἙἚἛἜἝἨἩἪἫἬἭἮἯἸἹἺἻἼἽἾἿὈὉὊὋὌὍὙὛὝὟὨὩὪὫὬὭὮὯᾈᾉᾊᾋᾌᾍᾎᾏᾘᾙᾚᾛᾜᾝᾞᾟᾨᾩᾪᾫᾬᾭᾮᾯᾸᾹᾺΆᾼῈΈῊΉῌῘῙῚΊῨῩῪΎῬῸΌῺΏῼΩKÅℲⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩⅪⅫⅬⅭⅮⅯↃⒶⒷⒸⒹⒺⒻⒼⒽⒾⒿⓀⓁⓂⓃⓄⓅⓆⓇⓈⓉⓊⓋⓌⓍⓎⓏⰀⰁⰂⰃⰄⰅⰆⰇⰈⰉⰊⰋⰌⰍⰎⰏⰐⰑⰒⰓⰔⰕⰖⰗⰘⰙⰚⰛⰜⰝⰞⰟⰠⰡⰢⰣⰤⰥⰦⰧⰨⰩⰪⰫⰬⰭⰮⰯⱠⱢⱣⱤⱧⱩⱫⱭⱮⱯⱰⱲⱵⱾⱿⲀⲂⲄⲆⲈⲊⲌⲎⲐⲒⲔⲖⲘⲚⲜⲞⲠⲢⲤⲦⲨⲪⲬⲮⲰⲲⲴⲶⲸⲺⲼⲾⳀⳂⳄⳆⳈⳊⳌⳎⳐⳒⳔⳖⳘⳚⳜⳞⳠⳢⳫⳭⳲꙀꙂꙄꙆꙈꙊꙌꙎꙐꙒꙔꙖꙘꙚꙜꙞꙠꙢꙤꙦꙨꙪꙬꚀꚂꚄꚆꚈꚊꚌꚎꚐꚒꚔꚖꚘꚚꜢꜤꜦꜨꜪꜬꜮꜲꜴꜶꜸꜺꜼꜾꝀꝂꝄꝆꝈꝊꝌꝎꝐꝒꝔꝖꝘꝚꝜꝞꝠꝢꝤꝦꝨꝪꝬꝮꝹꝻꝽꝾꞀꞂꞄꞆꞋꞍꞐꞒꞖꞘꞚꞜꞞꞠꞢꞤꞦꞨꞪꞫꞬꞭꞮꞰꞱꞲꞳꞴꞶꞸꞺꞼꞾꟀꟂꟄꟅꟆꟇꟉꟐꟖꟘꟵＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷＸＹＺ𐐀𐐁𐐂𐐃𐐄𐐅𐐆𐐇𐐈𐐉𐐊𐐋𐐌𐐍𐐎𐐏𐐐𐐑𐐒𐐓𐐔𐐕𐐖𐐗𐐘𐐙𐐚𐐛𐐜𐐝𐐞𐐟𐐠𐐡𐐢𐐣𐐤𐐥𐐦𐐧𐒰𐒱𐒲𐒳𐒴𐒵𐒶𐒷𐒸𐒹𐒺𐒻𐒼𐒽𐒾𐒿𐓀𐓁𐓂𐓃𐓄𐓅𐓆𐓇𐓈𐓉𐓊𐓋𐓌𐓍𐓎𐓏𐓐𐓑𐓒𐓓𐕰𐕱𐕲𐕳𐕴𐕵𐕶𐕷𐕸𐕹𐕺𐕼𐕽𐕾𐕿𐖀𐖁𐖂𐖃𐖄𐖅𐖆𐖇𐖈𐖉𐖊𐖌𐖍𐖎𐖏𐖐𐖑𐖒𐖔𐖕𐲀𐲁𐲂𐲃𐲄𐲅𐲆𐲇𐲈𐲉𐲊𐲋𐲌𐲍𐲎𐲏𐲐𐲑𐲒𐲓𐲔𐲕𐲖𐲗𐲘𐲙𐲚𐲛𐲜𐲝𐲞𐲟𐲠𐲡𐲢𐲣𐲤𐲥𐲦𐲧𐲨𐲩𐲪𐲫𐲬𐲭𐲮𐲯𐲰𐲱𐲲𑢠𑢡𑢢𑢣𑢤𑢥𑢦𑢧𑢨𑢩𑢪𑢫𑢬𑢭𑢮𑢯𑢰𑢱𑢲𑢳𑢴𑢵𑢶𑢷𑢸𑢹𑢺𑢻𑢼𑢽𑢾𑢿𖹀𖹁𖹂𖹃𖹄𖹅𖹆𖹇𖹈𖹉𖹊𖹋𖹌𖹍𖹎𖹏𖹐𖹑𖹒𖹓𖹔𖹕𖹖𖹗𖹘𖹙𖹚𖹛𖹜𖹝𖹞𖹟𞤀𞤁𞤂𞤃𞤄𞤅𞤆𞤇𞤈𞤉𞤊𞤋𞤌𞤍𞤎𞤏𞤐𞤑𞤒𞤓𞤔𞤕𞤖𞤗𞤘𞤙𞤚𞤛𞤜𞤝𞤞𞤟𞤠𞤡',
      'àáâãäåæçèéêëìíîïðñòóôõöøùúûüýþāăąćĉċčďđēĕėęěĝğġģĥħĩīĭįĳĵķĺļľŀłńņňŋōŏőœŕŗřśŝşšţťŧũūŭůűųŵŷÿźżžɓƃƅɔƈɖɗƌǝəɛƒɠɣɩɨƙɯɲɵơƣƥʀƨʃƭʈưʊʋƴƶʒƹƽǆǆǉǉǌǌǎǐǒǔǖǘǚǜǟǡǣǥǧǩǫǭǯǳǳǵƕƿǹǻǽǿȁȃȅȇȉȋȍȏȑȓȕȗșțȝȟƞȣȥȧȩȫȭȯȱȳⱥȼƚⱦɂƀʉʌɇɉɋɍɏͱͳͷϳάέήίόύώαβγδεζηθικλμνξοπρστυφχψωϊϋϗϙϛϝϟϡϣϥϧϩϫϭϯθϸϲϻͻͼͽѐёђѓєѕіїјљњћќѝўџабвгдежзийклмнопрстуфхцчшщъыьэюяѡѣѥѧѩѫѭѯѱѳѵѷѹѻѽѿҁҋҍҏґғҕҗҙқҝҟҡңҥҧҩҫҭүұҳҵҷҹһҽҿӏӂӄӆӈӊӌӎӑӓӕӗәӛӝӟӡӣӥӧөӫӭӯӱӳӵӷӹӻӽӿԁԃԅԇԉԋԍԏԑԓԕԗԙԛԝԟԡԣԥԧԩԫԭԯաբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆⴀⴁⴂⴃⴄⴅⴆⴇⴈⴉⴊⴋⴌⴍⴎⴏⴐⴑⴒⴓⴔⴕⴖⴗⴘⴙⴚⴛⴜⴝⴞⴟⴠⴡⴢⴣⴤⴥⴧⴭꭰꭱꭲꭳꭴꭵꭶꭷꭸꭹꭺꭻꭼꭽꭾꭿꮀꮁꮂꮃꮄꮅꮆꮇꮈꮉꮊꮋꮌꮍꮎꮏꮐꮑꮒꮓꮔꮕꮖꮗꮘꮙꮚꮛꮜꮝꮞꮟꮠꮡꮢꮣꮤꮥꮦꮧꮨꮩꮪꮫꮬꮭꮮꮯꮰꮱꮲꮳꮴꮵꮶꮷꮸꮹꮺꮻꮼꮽꮾꮿᏸᏹᏺᏻᏼᏽაბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰჱჲჳჴჵჶჷჸჹჺჽჾჿḁḃḅḇḉḋḍḏḑḓḕḗḙḛḝḟḡḣḥḧḩḫḭḯḱḳḵḷḹḻḽḿṁṃṅṇṉṋṍṏṑṓṕṗṙṛṝṟṡṣṥṧṩṫṭṯṱṳṵṷṹṻṽṿẁẃẅẇẉẋẍẏẑẓẕßạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹỻỽỿἀἁἂἃἄἅἆἇἐἑἒἓἔἕἠἡἢἣἤἥἦἧἰἱἲἳἴἵἶἷὀὁὂὃὄὅὑὓὕὗὠὡὢὣὤὥὦὧᾀᾁᾂᾃᾄᾅᾆᾇᾐᾑᾒᾓᾔᾕᾖᾗᾠᾡᾢᾣᾤᾥᾦᾧᾰᾱὰάᾳὲέὴήῃῐῑὶίῠῡὺύῥὸόὼώῳωkåⅎⅰⅱⅲⅳⅴⅵⅶⅷⅸⅹⅺⅻⅼⅽⅾⅿↄⓐⓑⓒⓓⓔⓕⓖⓗⓘⓙⓚⓛⓜⓝⓞⓟⓠⓡⓢⓣⓤⓥⓦⓧⓨⓩⰰⰱⰲⰳⰴⰵⰶⰷⰸⰹⰺⰻⰼⰽⰾⰿⱀⱁⱂⱃⱄⱅⱆⱇⱈⱉⱊⱋⱌⱍⱎⱏⱐⱑⱒⱓⱔⱕⱖⱗⱘⱙⱚⱛⱜⱝⱞⱟⱡɫᵽɽⱨⱪⱬɑɱɐɒⱳⱶȿɀⲁⲃⲅⲇⲉⲋⲍⲏⲑⲓⲕⲗⲙⲛⲝⲟⲡⲣⲥⲧⲩⲫⲭⲯⲱⲳⲵⲷⲹⲻⲽⲿⳁⳃⳅⳇⳉⳋⳍⳏⳑⳓⳕⳗⳙⳛⳝⳟⳡⳣⳬⳮⳳꙁꙃꙅꙇꙉꙋꙍꙏꙑꙓꙕꙗꙙꙛꙝꙟꙡꙣꙥꙧꙩꙫꙭꚁꚃꚅꚇꚉꚋꚍꚏꚑꚓꚕꚗꚙꚛꜣꜥꜧꜩꜫꜭꜯꜳꜵꜷꜹꜻꜽꜿꝁꝃꝅꝇꝉꝋꝍꝏꝑꝓꝕꝗꝙꝛꝝꝟꝡꝣꝥꝧꝩꝫꝭꝯꝺꝼᵹꝿꞁꞃꞅꞇꞌɥꞑꞓꞗꞙꞛꞝꞟꞡꞣꞥꞧꞩɦɜɡɬɪʞʇʝꭓꞵꞷꞹꞻꞽꞿꟁꟃꞔʂᶎꟈꟊꟑꟗꟙꟶａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ𐐨𐐩𐐪𐐫𐐬𐐭𐐮𐐯𐐰𐐱𐐲𐐳𐐴𐐵𐐶𐐷𐐸𐐹𐐺𐐻𐐼𐐽𐐾𐐿𐑀𐑁𐑂𐑃𐑄𐑅𐑆𐑇𐑈𐑉𐑊𐑋𐑌𐑍𐑎𐑏𐓘𐓙𐓚𐓛𐓜𐓝𐓞𐓟𐓠𐓡𐓢𐓣𐓤𐓥𐓦𐓧𐓨𐓩𐓪𐓫𐓬𐓭𐓮𐓯𐓰𐓱𐓲𐓳𐓴𐓵𐓶𐓷𐓸𐓹𐓺𐓻𐖗𐖘𐖙𐖚𐖛𐖜𐖝𐖞𐖟𐖠𐖡𐖣𐖤𐖥𐖦𐖧𐖨𐖩𐖪𐖫𐖬𐖭𐖮𐖯𐖰𐖱𐖳𐖴𐖵𐖶𐖷𐖸𐖹𐖻𐖼𐳀𐳁𐳂𐳃𐳄𐳅𐳆𐳇𐳈𐳉𐳊𐳋𐳌𐳍𐳎𐳏𐳐𐳑𐳒𐳓𐳔𐳕𐳖𐳗𐳘𐳙𐳚𐳛𐳜𐳝𐳞𐳟𐳠𐳡𐳢𐳣𐳤𐳥𐳦𐳧𐳨𐳩𐳪𐳫𐳬𐳭𐳮𐳯𐳰𐳱𐳲𑣀𑣁𑣂𑣃𑣄𑣅𑣆𑣇𑣈𑣉𑣊𑣋𑣌𑣍𑣎𑣏𑣐𑣑𑣒𑣓𑣔𑣕𑣖𑣗𑣘𑣙𑣚𑣛𑣜𑣝𑣞𑣟𖹠𖹡𖹢𖹣𖹤𖹥𖹦𖹧𖹨𖹩𖹪𖹫𖹬𖹭𖹮𖹯𖹰𖹱𖹲𖹳𖹴𖹵𖹶𖹷𖹸𖹹𖹺𖹻𖹼𖹽𖹾𖹿𞤢𞤣𞤤𞤥𞤦𞤧𞤨𞤩𞤪𞤫𞤬𞤭𞤮𞤯𞤰𞤱𞤲𞤳𞤴𞤵𞤶𞤷𞤸𞤹𞤺𞤻𞤼𞤽𞤾𞤿𞥀𞥁𞥂𞥃') END COLLATE "C"
$$;

-- The day that a text is, in the one form in which days are kept; NULL where it is none. Digits are written out: what \d
-- is depends on the database's locale.
CREATE FUNCTION kith_day(value text) RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN value ~ '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$' AND value >= '0001'
    AND substr(value, 9, 2)::int <= extract(day FROM
      make_date(substr(value, 1, 4)::int, substr(value, 6, 2)::int, 1) + interval '1 month - 1 day')
    THEN value::date END
$$;

-- The instant that a text is, in the one form in which instants are kept (2026-04-10T10:30:00.000Z), likewise.
CREATE FUNCTION kith_instant(value text) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z$'
    AND kith_day(substr(value, 1, 10)) IS NOT NULL THEN value::timestamptz END
$$;

-- Lists of an industry and of a size, in any case.
DROP INDEX companies_industry;
DROP INDEX companies_size;
CREATE INDEX companies_industry ON companies (shard, workspace_id, kith_lower(industry), created_at, id)
  WHERE industry IS NOT NULL;
CREATE INDEX companies_size ON companies (shard, workspace_id, kith_lower(size), created_at, id) WHERE size IS NOT NULL;

-- Slots: indexed copies of properties' values. Which property has which slot is the workspace's choice; an unused one costs
-- nothing. ``options`` has the options of all MULTI_SELECT properties, marked with workspace and property.
ALTER TABLE properties ADD COLUMN slot text COLLATE "C";
ALTER TABLE contacts ADD COLUMN options text[] COLLATE "C",
  ADD COLUMN text_1 text COLLATE "C", ADD COLUMN text_2 text COLLATE "C", ADD COLUMN text_3 text COLLATE "C",
  ADD COLUMN text_4 text COLLATE "C", ADD COLUMN text_5 text COLLATE "C", ADD COLUMN text_6 text COLLATE "C",
  ADD COLUMN text_7 text COLLATE "C", ADD COLUMN text_8 text COLLATE "C", ADD COLUMN text_9 text COLLATE "C",
  ADD COLUMN text_10 text COLLATE "C", ADD COLUMN text_11 text COLLATE "C", ADD COLUMN text_12 text COLLATE "C",
  ADD COLUMN number_1 numeric, ADD COLUMN number_2 numeric, ADD COLUMN number_3 numeric, ADD COLUMN number_4 numeric,
  ADD COLUMN number_5 numeric, ADD COLUMN number_6 numeric, ADD COLUMN number_7 numeric, ADD COLUMN number_8 numeric,
  ADD COLUMN time_1 timestamptz, ADD COLUMN time_2 timestamptz, ADD COLUMN time_3 timestamptz,
  ADD COLUMN time_4 timestamptz;
-- has any or all of some options
CREATE INDEX contacts_options ON contacts USING gin (options) WITH (fastupdate = on, gin_pending_list_limit = 256) WHERE options IS NOT NULL;
-- comparisons, beginnings, ranges and sorts of the property that has the slot
CREATE INDEX contacts_text_1 ON contacts (shard, workspace_id, text_1, id) WHERE text_1 IS NOT NULL;
CREATE INDEX contacts_text_2 ON contacts (shard, workspace_id, text_2, id) WHERE text_2 IS NOT NULL;
CREATE INDEX contacts_text_3 ON contacts (shard, workspace_id, text_3, id) WHERE text_3 IS NOT NULL;
CREATE INDEX contacts_text_4 ON contacts (shard, workspace_id, text_4, id) WHERE text_4 IS NOT NULL;
CREATE INDEX contacts_text_5 ON contacts (shard, workspace_id, text_5, id) WHERE text_5 IS NOT NULL;
CREATE INDEX contacts_text_6 ON contacts (shard, workspace_id, text_6, id) WHERE text_6 IS NOT NULL;
CREATE INDEX contacts_text_7 ON contacts (shard, workspace_id, text_7, id) WHERE text_7 IS NOT NULL;
CREATE INDEX contacts_text_8 ON contacts (shard, workspace_id, text_8, id) WHERE text_8 IS NOT NULL;
CREATE INDEX contacts_text_9 ON contacts (shard, workspace_id, text_9, id) WHERE text_9 IS NOT NULL;
CREATE INDEX contacts_text_10 ON contacts (shard, workspace_id, text_10, id) WHERE text_10 IS NOT NULL;
CREATE INDEX contacts_text_11 ON contacts (shard, workspace_id, text_11, id) WHERE text_11 IS NOT NULL;
CREATE INDEX contacts_text_12 ON contacts (shard, workspace_id, text_12, id) WHERE text_12 IS NOT NULL;
CREATE INDEX contacts_number_1 ON contacts (shard, workspace_id, number_1, id) WHERE number_1 IS NOT NULL;
CREATE INDEX contacts_number_2 ON contacts (shard, workspace_id, number_2, id) WHERE number_2 IS NOT NULL;
CREATE INDEX contacts_number_3 ON contacts (shard, workspace_id, number_3, id) WHERE number_3 IS NOT NULL;
CREATE INDEX contacts_number_4 ON contacts (shard, workspace_id, number_4, id) WHERE number_4 IS NOT NULL;
CREATE INDEX contacts_number_5 ON contacts (shard, workspace_id, number_5, id) WHERE number_5 IS NOT NULL;
CREATE INDEX contacts_number_6 ON contacts (shard, workspace_id, number_6, id) WHERE number_6 IS NOT NULL;
CREATE INDEX contacts_number_7 ON contacts (shard, workspace_id, number_7, id) WHERE number_7 IS NOT NULL;
CREATE INDEX contacts_number_8 ON contacts (shard, workspace_id, number_8, id) WHERE number_8 IS NOT NULL;
CREATE INDEX contacts_time_1 ON contacts (shard, workspace_id, time_1, id) WHERE time_1 IS NOT NULL;
CREATE INDEX contacts_time_2 ON contacts (shard, workspace_id, time_2, id) WHERE time_2 IS NOT NULL;
CREATE INDEX contacts_time_3 ON contacts (shard, workspace_id, time_3, id) WHERE time_3 IS NOT NULL;
CREATE INDEX contacts_time_4 ON contacts (shard, workspace_id, time_4, id) WHERE time_4 IS NOT NULL;
ALTER TABLE companies ADD COLUMN options text[] COLLATE "C",
  ADD COLUMN text_1 text COLLATE "C", ADD COLUMN text_2 text COLLATE "C", ADD COLUMN text_3 text COLLATE "C",
  ADD COLUMN text_4 text COLLATE "C", ADD COLUMN text_5 text COLLATE "C", ADD COLUMN text_6 text COLLATE "C",
  ADD COLUMN text_7 text COLLATE "C", ADD COLUMN text_8 text COLLATE "C", ADD COLUMN text_9 text COLLATE "C",
  ADD COLUMN text_10 text COLLATE "C", ADD COLUMN text_11 text COLLATE "C", ADD COLUMN text_12 text COLLATE "C",
  ADD COLUMN number_1 numeric, ADD COLUMN number_2 numeric, ADD COLUMN number_3 numeric, ADD COLUMN number_4 numeric,
  ADD COLUMN number_5 numeric, ADD COLUMN number_6 numeric, ADD COLUMN number_7 numeric, ADD COLUMN number_8 numeric,
  ADD COLUMN time_1 timestamptz, ADD COLUMN time_2 timestamptz, ADD COLUMN time_3 timestamptz,
  ADD COLUMN time_4 timestamptz;
-- has any or all of some options
CREATE INDEX companies_options ON companies USING gin (options) WITH (fastupdate = on, gin_pending_list_limit = 256) WHERE options IS NOT NULL;
-- comparisons, beginnings, ranges and sorts of the property that has the slot
CREATE INDEX companies_text_1 ON companies (shard, workspace_id, text_1, id) WHERE text_1 IS NOT NULL;
CREATE INDEX companies_text_2 ON companies (shard, workspace_id, text_2, id) WHERE text_2 IS NOT NULL;
CREATE INDEX companies_text_3 ON companies (shard, workspace_id, text_3, id) WHERE text_3 IS NOT NULL;
CREATE INDEX companies_text_4 ON companies (shard, workspace_id, text_4, id) WHERE text_4 IS NOT NULL;
CREATE INDEX companies_text_5 ON companies (shard, workspace_id, text_5, id) WHERE text_5 IS NOT NULL;
CREATE INDEX companies_text_6 ON companies (shard, workspace_id, text_6, id) WHERE text_6 IS NOT NULL;
CREATE INDEX companies_text_7 ON companies (shard, workspace_id, text_7, id) WHERE text_7 IS NOT NULL;
CREATE INDEX companies_text_8 ON companies (shard, workspace_id, text_8, id) WHERE text_8 IS NOT NULL;
CREATE INDEX companies_text_9 ON companies (shard, workspace_id, text_9, id) WHERE text_9 IS NOT NULL;
CREATE INDEX companies_text_10 ON companies (shard, workspace_id, text_10, id) WHERE text_10 IS NOT NULL;
CREATE INDEX companies_text_11 ON companies (shard, workspace_id, text_11, id) WHERE text_11 IS NOT NULL;
CREATE INDEX companies_text_12 ON companies (shard, workspace_id, text_12, id) WHERE text_12 IS NOT NULL;
CREATE INDEX companies_number_1 ON companies (shard, workspace_id, number_1, id) WHERE number_1 IS NOT NULL;
CREATE INDEX companies_number_2 ON companies (shard, workspace_id, number_2, id) WHERE number_2 IS NOT NULL;
CREATE INDEX companies_number_3 ON companies (shard, workspace_id, number_3, id) WHERE number_3 IS NOT NULL;
CREATE INDEX companies_number_4 ON companies (shard, workspace_id, number_4, id) WHERE number_4 IS NOT NULL;
CREATE INDEX companies_number_5 ON companies (shard, workspace_id, number_5, id) WHERE number_5 IS NOT NULL;
CREATE INDEX companies_number_6 ON companies (shard, workspace_id, number_6, id) WHERE number_6 IS NOT NULL;
CREATE INDEX companies_number_7 ON companies (shard, workspace_id, number_7, id) WHERE number_7 IS NOT NULL;
CREATE INDEX companies_number_8 ON companies (shard, workspace_id, number_8, id) WHERE number_8 IS NOT NULL;
CREATE INDEX companies_time_1 ON companies (shard, workspace_id, time_1, id) WHERE time_1 IS NOT NULL;
CREATE INDEX companies_time_2 ON companies (shard, workspace_id, time_2, id) WHERE time_2 IS NOT NULL;
CREATE INDEX companies_time_3 ON companies (shard, workspace_id, time_3, id) WHERE time_3 IS NOT NULL;
CREATE INDEX companies_time_4 ON companies (shard, workspace_id, time_4, id) WHERE time_4 IS NOT NULL;
