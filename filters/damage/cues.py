"""Words that give away what stands around a text: notices, navigation, advertising, remarks of readers.

A cue is a word, two words in a row, or two to four Han. It condemns nothing by itself: `filters.damage.grade` weighs it
against the length of its sentence and all else that is known of it. The lists are ours, written from what pages say
around their text; those of `filters.lines.phrases` cut whole lines and have to be much surer.
"""

from __future__ import annotations

(NOTICE, STRONG_NOTICE, REMARK, PERSON, FUNCTION, BEFORE_NOUN, NO_END, NO_START, LINKING, FIRST) = (
    1 << k for k in range(10)
)
"""Kinds of cues, as bits: a notice, a sure one (worth two); a reader's remark; a word that speaks of writer or reader;
a word of grammar; one that a noun or adjective must follow; those that nothing ends or begins with; a form of `be` and
its like; and a word that begins a cue of two."""

_NOTICES = """
cookie consent opt-out gdpr newsletter newsletters signup login logout username password subscribe subscribed
subscribing unsubscribe subscriber subscribers subscription subscriptions advertisement advertisements advert adverts
sponsored promoted promo coupon coupons voucher vouchers shipping checkout cart wishlist giveaway affiliate affiliates
affiliated bestseller clearance javascript browser browsers permalink trackback trackbacks tweet retweet whatsapp
facebook twitter instagram pinterest linkedin reddit tumblr youtube telegram rss sitemap faq faqs disclaimer copyright
webmaster repost reprint hyperlink bookmark bookmarks homepage sidebar footer menu navigation preferences settings
trending popup adblock adblocker unlock upgrade download downloads app apps ios android wifi login sponsor sponsors
deals discount discounts cheap bonus jackpot casino betting viagra loan loans payday seo hosting testimonials
"""
_SURE_NOTICES = """
cookies|our cookie|this site|our site|our website|this website|these cookies|all cookies|accept all|reject all|
privacy policy|privacy notice|terms of|of use|of service|by continuing|by clicking|continue reading|continuing to|
manage preferences|manage cookies|your consent|your privacy|your preferences|your experience|your browser|
your email|your inbox|email address|sign up|sign in|log in|log out|sign-up|create an|an account|your account|
free account|free trial|start your|click here|click to|tap here|click the|read more|learn more|see more|show more|
view more|load more|view all|see all|find out|more info|more stories|more from|more articles|more news|next page|
previous page|next article|previous article|next post|previous post|previous story|next story|related articles|
related posts|related stories|related content|related news|recommended for|you may|you might|may like|might like|
also like|popular posts|most read|most popular|most viewed|latest news|top stories|trending now|share this|
share on|share via|share article|share your|follow us|like us|join us|contact us|about us|advertise with|
back to|skip to|jump to|go to|filed under|posted in|posted by|posted on|published by|written by|tagged with|
leave a|post a|add a|a comment|a reply|your comment|comments are|view comments|no comments|comments closed|
all rights|rights reserved|reserved worldwide|powered by|buy now|shop now|order now|order today|add to|to cart|
free shipping|free delivery|limited time|special offer|limited offer|best price|best prices|lowest price|
lowest prices|save up|up to|money back|call now|call today|act now|sale ends|off your|your first|first order|
use code|promo code|get started|download our|download the|our app|the app|app store|google play|our newsletter|
daily newsletter|breaking news|push notifications|enable notifications|turn off|ad blocker|enable javascript|
supports html5|support us|support our|make a|donate now|donate today|become a|a member|members only|
for subscribers|subscribers only|subscribe to|subscribe now|already a|have an|this article|this story|this page|
print this|email this|report this|report abuse|report an|view profile|view original|original article|
image credit|photo credit|getty images|loading comments|please enable|please wait|please log|please sign|
we use|use cookies|uses cookies|and similar|similar technologies|third party|our partners|personalised ads|
personalized ads|personalised content|personalized content|analyse traffic|analyze traffic|site traffic|
cookie settings|cookie policy|social media|sponsored content|paid content|partner content|promoted content|
reply to|in reply|wrote in
"""
_REMARKS = """
lol lmao rofl haha hahaha hehe omg wtf imo imho btw fwiw tbh smh idk thx ty pls plz u ur r gonna wanna gotta kinda
dunno yeah yep yup nope nah wow awesome cool nice thanks thank amazing agree agreed disagree hilarious sucks dude guys
lovely brilliant ridiculous pathetic stupid idiot idiots crap damn hell bs nonsense rubbish spot exactly totally
absolutely definitely honestly seriously anyway anyone anybody somebody someone hi hello hey dear cheers kudos bravo
reply replies upvote downvote upvoted likes liked anonymous guest admin moderator moderators op poster posters
commenter commenters thread ago edited permalink flag
"""
_SURE_REMARKS = """
great article|good article|nice article|great post|good post|nice post|great read|good read|great piece|good piece|
great job|well said|well written|well put|so true|very true|i agree|i disagree|i think|i thought|i love|i loved|
i hate|i hope|i wish|i wonder|i guess|i mean|i know|i dont|don t|can t|didn t|doesn t|isn t|won t|i m|i ve|i d|i ll|
you re|he s|that s|it s|there s|what s|thanks for|thank you|for sharing|for posting|keep it|keep up|good point|
good luck|this is|couldn t|wouldn t|wasn t|my wife|my husband|my son|my daughter|my kids|my mom|my dad|my friend|
minutes ago|hours ago|days ago|weeks ago|months ago|years ago|hour ago|day ago|says|says on|commented on|replied to|
no one|nobody cares|who cares|wake up|get real|give me|made my|makes me|made me|want to|need to|reading this|
read this|same here|me too|first comment|to everyone
"""
_PERSONS = "i me my mine myself we us our ours you your yours yourself im ive id ill youre dont cant didnt doesnt isnt"
_NOUN_FIRST = "the a an my your his their our its every"
_PREPOSITIONS = "of to in for with on at by from into and or but than as because between among during against"
_LINKING = "is are was were be been am has have had will would can could shall should may might must do does did"
_GRAMMAR = "that this which who it he she they not if when there about over after before while where so such no"

_ZH_NOTICES = """
登录 登陆 注册 首页 扫码 扫一扫 二维码 公众号 微信号 关注我们 加关注 微博 客户端 下载 安装 收藏 分享 转载 版权
广告 推广 赞助 优惠 促销 包邮 特价 折扣 秒杀 抢购 限时 免费 代购 淘宝 京东 天猫 拼多多 店铺 旺旺 客服 咨询 热线
电话 手机版 加盟 代理 招商 订阅 会员 充值 网址 官网 链接 浏览器 隐私 设置 密码 邮箱 验证 弹窗 导航 菜单 返回
顶部 目录 书签 投稿 爆料 编辑 责编 小编 来源 原标题 标签 阅读 推荐 热门 热点 相关 精彩 点击 更多 查看 展开 收起
打印 关闭 上一页 下一页 上一篇 下一篇 上一章 下一章 同意 接受 拒绝 贷款 理财 股票 彩票 娱乐城 博彩 澳门 赌场
减肥 代写 发票 办证 刷单 兼职 加微信 加群 群号 直播 主播 红包 优惠券 领取 福利
"""
_ZH_SURE_NOTICES = """
隐私政策 用户协议 服务条款 使用条款 全部接受 接受所有 继续浏览 继续使用 继续访问 本网站使 本站使用 我们使用
浏览体验 您的体验 个性化 立即登录 立即注册 免费注册 忘记密码 立即下载 立即购买 立即订阅 立即咨询 立即抢购
点击下载 点击查看 点击进入 点击此处 点击这里 阅读全文 查看全文 阅读原文 查看更多 更多精彩 更多内容 更多资讯
更多详情 加载更多 展开全文 相关阅读 相关文章 相关新闻 相关推荐 推荐阅读 延伸阅读 热门推荐 热门文章 热门评论
精彩推荐 为您推荐 为你推荐 猜你喜欢 大家都在 最新评论 网友评论 全部评论 发表评论 我要评论 暂无评论 评论列表
上一篇 下一篇 返回首页 返回顶部 返回列表 回到顶部 分享到 分享至 转发到 微信扫 扫描二 长按识别 长按二维 关注公众
微信公众 官方微信 官方微博 版权所有 版权声明 未经授权 未经许可 不得转载 转载请注 注明出处 请注明 责任编辑
本文来源 文章来源 来源网络 侵权 联系删除 联系我们 关于我们 网站地图 友情链接 广告服务 免责声明 公网安备 许可证
客服热线 服务热线 全国统一 欢迎订阅 欢迎关注 欢迎加入 优惠活动 限时优惠 限时特价 全场包邮 货到付款 正品保证
官方旗舰 加入购物 购物车 打印本页 关闭窗口 设为首页 加入收藏 字体 大中小 繁体 手机阅读 手机客户 下载客户 写道
发表于 更新时间 发布时间 点击量 阅读量 浏览量 浏览次数 查看评论
"""
_ZH_REMARKS = """
楼主 楼上 楼下 沙发 板凳 顶 赞 支持 反对 呵呵 哈哈 嘿嘿 嘻嘻 唉 呃 嗯 哇 哎 靠 吧 啊 呢 呀 哦 噢 嘛 啦 哟 喽 咯
亲 给力 牛逼 傻逼 垃圾 恶心 回复 评论 网友 匿名 游客 举报 点赞 踩 收藏了 转了 马克 学习了 路过 打酱油 围观 吐槽
好评 差评 推荐 不错 挺好 很好 太好 喜欢 感谢 谢谢 分享 真的 觉得 感觉 希望 居然 竟然 简直 无语 哪里 怎么 为什么
反正 其实 就是 还是 可是 有点 好像 估计 小时前 分钟前 天前 个赞 快递 卖家 客服 物流 发货 收到 质量 性价比 宝贝
酒店 房间 前台 服务员 外卖 送餐 味道 好吃 难吃 下次 再来 值得
"""
_ZH_PERSONS = "我 你 您 咱 俺 哥 姐 妹"
_ZH_GRAMMAR = "的 了 是 在 和 为 与 有 于 以 中 对 也 这 等 将 而 其 之 并"
_ZH_NO_END = "和 与 在 把 被 从 对 向 或 及 以 而 并 将 让 给 跟 但 且 因"
_ZH_NO_START = "的 了 着 过 们 吗 呢 吧"


def latin_cues() -> dict[tuple[str, ...], int]:
    """One or two words in lower case → kinds."""
    found: dict[tuple[str, ...], int] = {}

    def add(words: str, bits: int, between: str | None = None) -> None:
        for cue in words.replace("\n", "" if between else " ").split(between):
            key = tuple(cue.replace("-", " ").split())
            if key:
                found[key] = found.get(key, 0) | bits

    add(_NOTICES, NOTICE)
    add(_SURE_NOTICES, STRONG_NOTICE, "|")
    add(_REMARKS, REMARK)
    add(_SURE_REMARKS, REMARK, "|")
    add(_PERSONS, PERSON)
    add(_NOUN_FIRST, FUNCTION | BEFORE_NOUN | NO_END)
    add(_PREPOSITIONS, FUNCTION | NO_END)
    add(_LINKING, FUNCTION | LINKING)
    add(_GRAMMAR, FUNCTION)
    for key in [k for k in found if len(k) == 2]:
        found[key[:1]] = found.get(key[:1], 0) | FIRST
    return found


def han_cues() -> dict[str, int]:
    """One to four Han (or letters) → kinds."""
    found: dict[str, int] = {}
    for words, bits in (
        (_ZH_NOTICES, NOTICE),
        (_ZH_SURE_NOTICES, STRONG_NOTICE),
        (_ZH_REMARKS, REMARK),
        (_ZH_PERSONS, PERSON),
        (_ZH_GRAMMAR, FUNCTION),
        (_ZH_NO_END, NO_END),
        (_ZH_NO_START, NO_START),
    ):
        for word in words.split():
            found[word] = found.get(word, 0) | bits
    return found
